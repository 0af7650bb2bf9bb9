# Everything installs into .venv at the versions of constraints.txt; nothing else need be typed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One thread a test process. On two cores a third one works while others wait for a network or a clock. A file goes to
# one process, so that what its tests share is made once; the slowest files come first (tests/conftest.py).
TEST_PROCESSES ?= 3
# Bytecode is kept, whatever the environment says: else every process that a test starts compiles neurofm anew.
PYTHON_OF_TESTS := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python
PYTEST := $(PYTHON_OF_TESTS) -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

.PHONY: install demo test test-long test-slurm quick quick-lowest quick-newest coverage bench docs docs-quick results lint lock audit release-check clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"neurofm needs Python >= 3.11, $(PYTHON) is {v.major}.{v.minor}; say PYTHON=python3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@
	@echo "installed in $(VENV); now: source $(BIN)/activate"

# All stages on simulated recordings, or on yours: make demo DATA=/path/to/files
demo: $(INSTALLED)
	$(BIN)/neurofm demo --out demo $(if $(DATA),--data $(DATA))

# Every test but those marked `long`: trainings of minutes, and federations and cluster jobs of many processes.
# LONG=1 adds those to the same run, so that no core waits for the last of them: CI does so.
test: $(INSTALLED)
	$(PYTEST) $(if $(LONG),,-m "not long") --durations=30 $(PYTEST_ARGS)

# Those marked `long`, and no others; the other files are not even imported. CI runs both.
test-long: $(INSTALLED)
	$(PYTEST) -m long --durations=15 $(shell grep -rl "pytest.mark.long" tests --include="test_*.py") $(PYTEST_ARGS)

# The batch scripts on a Slurm of two machines on loopback, all of it, in some minutes; the log stays. Root of a Debian
# gets the Slurm; elsewhere it must be there.
test-slurm: $(INSTALLED)
	if ! PATH="$$PATH:/usr/sbin" command -v slurmctld > /dev/null && [ "$$(id -u)" = 0 ]; then .ci/slurm; fi
	NEUROFM_SLURM=all $(PYTHON_OF_TESTS) -m pytest -v -k slurm tests/pretrain/test_slurm.py --durations=0 \
	  -rs $(PYTEST_ARGS) > slurm-test.log 2>&1; status=$$?; cat slurm-test.log; exit $$status

# What is fast and needs no process of its own: data, layers, models, tokenizers, steps, protocols.
QUICK := tests/data tests/nn tests/models tests/tokenizers tests/checkpoints tests/downstream/tasks \
	tests/downstream/protocol tests/downstream/scoring/test_metrics.py \
	$(addprefix tests/preprocessing/,test_splits.py test_montage.py test_standardize.py test_archive.py \
	test_bids.py)

quick: $(INSTALLED)
	$(PYTHON_OF_TESTS) -m pytest -n 2 --dist loadfile -m "not slow and not long" $(QUICK) $(PYTEST_ARGS)

# All tests again with the lines counted, which takes a third longer; one line a package.
coverage: $(INSTALLED)
	$(PYTEST) $(addprefix --cov=,neurofm preprocessing pretrain downstream) --cov-report= $(PYTEST_ARGS)
	$(BIN)/python -m tests.support.coverage_of_packages

bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks

# The site, in docs/_build/html; warnings are errors. docs-quick does not run the examples.
docs: $(INSTALLED)
	OMP_NUM_THREADS=2 $(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html

docs-quick: $(INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html -D plot_gallery=0 docs docs/_build/quick

# Pages of results, their figures, and the table and picture of README, from docs/results/data.
results: $(INSTALLED)
	$(BIN)/python docs/make_results.py

# What a release must pass: wheel and sdist are built and checked, each is installed in a fresh environment at the
# newest versions there are, and the first stages run there, outside the repository.
release-check:
	rm -rf build dist
	$(PYTHON) -m venv build/tools && build/tools/bin/pip install --quiet build twine
	build/tools/bin/python -m build --quiet --outdir dist .
	build/tools/bin/twine check --strict dist/*
	set -e; for each in dist/*.whl dist/*.tar.gz; do \
	  rm -rf build/fresh && $(PYTHON) -m venv build/fresh && build/fresh/bin/pip install --quiet $$each; \
	  cd build; fresh/bin/neurofm --version; fresh/bin/neurofm list commands > /dev/null; \
	  fresh/bin/neurofm simulate --out fresh/archive --subjects 2 --minutes 0.5; \
	  fresh/bin/neurofm ingest fresh/archive --out fresh/corpus; fresh/bin/neurofm verify fresh/corpus; cd ..; \
	done

# `make quick` with the oldest direct dependencies that pyproject.toml allows, or with the newest of all.
quick-lowest quick-newest: quick-%:
	$(PYTHON) -m venv .venv-$* && .venv-$*/bin/pip install --quiet uv
	.venv-$*/bin/uv pip install --quiet --python .venv-$*/bin/python \
	  --resolution $(if $(filter lowest,$*),lowest-direct,highest) -e ".[dev]"
	OMP_NUM_THREADS=1 .venv-$*/bin/python -m pytest -n 2 --dist loadfile -m "not slow and not long" $(QUICK) $(PYTEST_ARGS)

# What images install beside torch, with hashes: docker/requirements.txt, at the versions of constraints.txt.
LOCKED := adapters evaluate features federated formats tensorboard
CUDA := torch triton cuda-bindings cuda-pathfinder cuda-toolkit $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc \
	cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx)

lock:
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet pyproject.toml $(addprefix --extra ,$(LOCKED)) -c constraints.txt \
	  --python-version 3.11 --python-platform linux --no-annotate --generate-hashes \
	  --custom-compile-command "make lock" $(addprefix --no-emit-package ,$(CUDA)) -o docker/requirements.txt

# Known vulnerabilities of what is pinned. A package of which nothing could be asked is a failure too.
audit:
	{ $(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit; } \
	  || { echo "make audit: pip-audit cannot be installed here, so nothing was audited" >&2; exit 1; }
	.venv-audit/bin/pip-audit --strict --disable-pip --no-deps -r constraints.txt || { echo "make audit: \
	a vulnerability is known, or a package could not be asked for: read above; this is no pass" >&2; exit 1; }

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	git ls-files '*.py' '*.md' '*.yaml' | grep -v old_artifacts | xargs $(BIN)/codespell

clean:
	rm -rf $(VENV) .venv-* slurm-test.log docs/_build docs/auto_examples build dist *.egg-info demo runs
