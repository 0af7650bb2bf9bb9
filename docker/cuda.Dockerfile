# neurofm on NVIDIA GPUs, at the versions that are tested. The torch wheel brings its CUDA libraries;
# the host needs the driver and the NVIDIA container toolkit, nothing else.
#   docker build -f docker/cuda.Dockerfile -t neurofm:cuda .
#   docker run --rm --gpus all --ipc=host -v $PWD/runs:/runs --entrypoint accelerate neurofm:cuda \
#       launch --config_file /opt/neurofm/configs/accelerate/ddp.yaml -m pretrain.train --config …
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 MNE_DONTWRITE_HOME=true MPLBACKEND=Agg
# torch.compile writes small C++ and Triton kernels.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/neurofm
COPY constraints.txt .
RUN pip install -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY neurofm neurofm
COPY preprocessing preprocessing
COPY pretrain pretrain
COPY downstream downstream
COPY configs configs
RUN pip install -c constraints.txt .
RUN neurofm --help

WORKDIR /runs
ENTRYPOINT ["neurofm"]
