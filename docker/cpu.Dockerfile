# neurofm on CPUs, at the versions that are tested.
#   docker build -f docker/cpu.Dockerfile -t neurofm:cpu .
#   docker run --rm -v /data:/data -v $PWD/runs:/runs neurofm:cpu ingest /data/eegmat --out /runs/corpus
FROM python:3.11-slim

# PyPI's torch for Linux brings 3 GB of CUDA libraries. torch's own index has the same versions
# without, marked +cpu, which pip prefers to the unmarked ones; the version is in constraints.txt.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 MNE_DONTWRITE_HOME=true MPLBACKEND=Agg
WORKDIR /opt/neurofm
COPY constraints.txt .
RUN pip install -c constraints.txt --extra-index-url ${TORCH_INDEX} torch
COPY pyproject.toml setup.py README.md LICENSE ./
COPY neurofm neurofm
COPY preprocessing preprocessing
COPY pretrain pretrain
COPY downstream downstream
COPY configs configs
RUN pip install -c constraints.txt '.[adapters,evaluate,formats,tensorboard]'
RUN neurofm --help

WORKDIR /runs
ENTRYPOINT ["neurofm"]
