# neurofm on NVIDIA GPUs, at the versions that are tested. PyPI's torch brings its own CUDA libraries
# (12 or 13, as `pip show torch` tells); the host needs a driver for them and the NVIDIA container
# toolkit, nothing else. For an older driver: --build-arg TORCH_INDEX=…/whl/cu126 or the like.
#   docker build -f docker/cuda.Dockerfile -t neurofm:cuda .
#   docker run --rm --gpus all --ipc=host -v $PWD/runs:/runs --entrypoint accelerate neurofm:cuda \
#       launch --config_file /opt/neurofm/configs/accelerate/ddp.yaml --num_processes 4 -m neurofm.pretrain …
FROM python:3.11-slim

ARG TORCH_INDEX=https://pypi.org/simple

ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 MNE_DONTWRITE_HOME=true MPLBACKEND=Agg
# g++: torch.compile writes small kernels. procps: the batch scripts hand signals on with pkill.
RUN apt-get update && apt-get install -y --no-install-recommends g++ procps \
    && rm -rf /var/lib/apt/lists/*
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
