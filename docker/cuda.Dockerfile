# neurofm on NVIDIA GPUs, at the versions that are tested. PyPI's torch brings its own CUDA libraries
# (12 or 13, as `pip show torch` tells); the host needs a driver for them and the NVIDIA container
# toolkit, nothing else. For an older driver: --build-arg TORCH_INDEX=…/whl/cu126 or the like.
#   docker build -f docker/cuda.Dockerfile -t neurofm:cuda .
#   docker run --rm --gpus all --ipc=host --user "$(id -u):$(id -g)" -v $PWD/runs:/runs --entrypoint accelerate neurofm:cuda \
#       launch --config_file /opt/neurofm/configs/accelerate/ddp.yaml --num_processes 4 -m neurofm.pretrain …
# 3.11.16, of 2026-09; docker/pin tells whether there is a newer one.
FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# Of torch and its CUDA libraries alone, which come from one index.
ARG TORCH_INDEX=https://pypi.org/simple

ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 MNE_DONTWRITE_HOME=true MPLBACKEND=Agg
# The base, which is pinned, says which release of Debian these come from.
# hadolint ignore=DL3008
# g++: torch.compile writes small kernels. procps: the batch scripts hand signals on with pkill.
RUN apt-get update && apt-get install -y --no-install-recommends g++ procps \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/neurofm
COPY constraints.txt docker/requirements.txt ./
RUN pip install --no-deps --require-hashes -r requirements.txt \
    && pip install --index-url ${TORCH_INDEX} "$(grep ^torch== constraints.txt)"
COPY pyproject.toml setup.py README.md LICENSE ./
COPY neurofm neurofm
COPY preprocessing preprocessing
COPY pretrain pretrain
COPY downstream downstream
COPY configs configs
RUN pip install --no-deps --no-build-isolation . && pip check && neurofm --help

RUN useradd --uid 1000 --create-home neurofm && mkdir /runs && chown neurofm /runs
ENV HOME=/tmp
USER 1000:1000
WORKDIR /runs
ENTRYPOINT ["neurofm"]
