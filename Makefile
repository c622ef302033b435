# Everything installs into .venv; constraints.txt pins what it gets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DATASET ?= ../shared/data/pitting-30mM

.PHONY: demo install test check bench bundle clean

demo: $(VENV)/.core
	$(BIN)/corroscope demo --out corroscope-demo

install: $(VENV)/.all

test: $(VENV)/.all
	$(BIN)/python -m pytest

check: $(VENV)/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Speed of a whole frame against the reference recipe, both in one run.
bench: $(VENV)/.bench
	$(BIN)/python benchmarks/segment.py

# The shipped bundle, from nothing: folds to judge it, then all patches.
bundle: $(VENV)/.all
	$(BIN)/python tools/ship_bundle.py $(DATASET)

clean:
	rm -rf $(VENV) corroscope-demo

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

# torch first and on its own: a package that asks for it would pick a larger build.
$(VENV)/.all: $(VENV)/.core
	$(PIP) torch
	$(PIP) -e '.[train,test,check]'
	touch $@

# Without torchvision's own dependencies, which would replace torch.
$(VENV)/.bench: $(VENV)/.all
	$(PIP) --no-deps torchvision
	$(PIP) -e '.[smp]'
	touch $@
