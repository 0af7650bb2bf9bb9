# neurofm on CPUs, at the versions that are tested. It runs as an ordinary user: give yours.
#   docker build -f docker/cpu.Dockerfile -t neurofm:cpu .
#   docker run --rm --user "$(id -u):$(id -g)" -v /data:/data:ro -v $PWD/runs:/runs neurofm:cpu ingest /data/eegmat --out /runs/corpus
# 3.11.16, of 2026-09; docker/pin tells whether there is a newer one.
FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# PyPI's torch for Linux brings 3 GB of CUDA libraries. torch's own index has the same version
# without. It is asked for torch alone: with two indices at once the wrong one might answer.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 MNE_DONTWRITE_HOME=true MPLBACKEND=Agg
WORKDIR /opt/neurofm
COPY constraints.txt docker/requirements.txt ./
RUN pip install --no-deps --require-hashes -r requirements.txt \
    && pip install --no-deps --index-url ${TORCH_INDEX} "$(grep ^torch== constraints.txt)"
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
