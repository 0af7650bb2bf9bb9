# Everything installs into .venv at the versions of constraints.txt; nothing else need be typed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One thread a test process. On two cores a third one works while others wait for a network or a clock. A file goes to
# one process, so that what its tests share is made once, and the slow files of downstream/ come first.
TEST_PROCESSES ?= 3

.PHONY: install demo test bench lint clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"neurofm needs Python >= 3.11, $(PYTHON) is {v.major}.{v.minor}; say PYTHON=python3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

# All stages on simulated recordings, or on yours: make demo DATA=/path/to/files
demo: $(INSTALLED)
	$(BIN)/neurofm demo --out demo $(if $(DATA),--data $(DATA))

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations=15 $(PYTEST_ARGS)

bench: $(INSTALLED)
	$(BIN)/python -m tests.speed

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info demo runs
