# Everything installs into .venv; constraints.txt pins what it gets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DATASET ?= ../shared/data/pitting-30mM
SOURCE := 74 of the 100 annotated patches published with AnesSAD/Pitting_corrosion-CNRS (the \
	repository states no licence), one in-situ run at 30 mM NaCl; raw frames: \
	doi:10.5281/zenodo.14653184, to be cited. The recipe (width, dilations, what is pasted, epochs, \
	what is looked at twice) was chosen on folds of the same patches. Besides, synthetic runs made by corroscope itself

.PHONY: demo install test check bench reference realism pretraining bundle click studio coverage memory \
	following efficiency tuning soak clean

demo: $(VENV)/.core
	$(BIN)/corroscope demo --out corroscope-demo

install: $(VENV)/.all

# In one process for each core, with one thread each. The studio's tests by themselves: together
# with all others they crashed once, the cause was not found.
test: $(VENV)/.all
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --durations=60 \
		--ignore-glob='*/test_studio*'
	$(BIN)/python -m pytest -n auto --dist loadfile --durations=30 tests/test_studio*.py

check: $(VENV)/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Speed of a whole frame against the reference recipe, both in one run.
bench: $(VENV)/.all
	PYTHONPATH=$(VENV)/smp $(BIN)/python benchmarks/segment.py

# What a reference is worth, against a network that sees single frames (hours, from nothing).
reference: bundle
	rm -rf build/alone
	$(BIN)/corroscope train $(DATASET) --out build/alone --cross-validate --set pairing.alone=1 \
		--epochs 100
	$(BIN)/python benchmarks/reference.py $(DATASET) build/bundle/train1 --before build/alone/train1

# How real synthetic patches look, in figures and side by side (some minutes).
realism: $(VENV)/.all
	$(BIN)/python benchmarks/realism.py $(DATASET) --out build/realism

# What synthetic patches are worth to a network (about an hour on two cores).
pretraining: $(VENV)/.all
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/pretraining.py $(DATASET) --out build/pretraining

# The shipped bundle, from nothing: folds to judge it, then all patches.
bundle: $(VENV)/.all
	rm -rf build/bundle
	$(BIN)/corroscope train $(DATASET) --out build/bundle --cross-validate \
		--name reference-3 --source "$(SOURCE)"
	cp build/bundle/train1/bundle/* src/corroscope/segmentation/shipped/

# The click network, from nothing, and what one click is worth on surface that it has not seen.
click: $(VENV)/.all
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fit_click.py $(DATASET) --out build/click
	cp build/click/click.onnx src/corroscope/annotation/shipped/
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/annotate.py $(DATASET) --networks build/click

# How quickly the studio answers, in Chromium (two minutes, on a machine with nothing else to do).
studio: $(VENV)/.all
	$(BIN)/python benchmarks/studio.py

# How often intervals hold the truth, in simulations (some minutes).
coverage: $(VENV)/.all
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py

# Memory of training and evaluation for a dataset and one ten times as large (some minutes).
memory: $(VENV)/.all
	$(BIN)/python benchmarks/memory.py

# How well corrosion is followed, on synthetic runs (half an hour).
following: $(VENV)/.all
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/tracking.py

# What the shipped network misses, by size, on synthetic runs; counts are corrected by it (minutes).
efficiency: $(VENV)/.all
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/measure_efficiency.py

# A search for better settings on annotated patches (about an hour on two cores; goes on after a kill).
tuning: $(VENV)/.all
	$(BIN)/corroscope tune $(DATASET) --out build/tuning --set epochs=40

# 200 kills and 10 000 steps of undo and redo on an annotation store (half an hour).
soak: $(VENV)/.all
	$(BIN)/python tests/test_store_crashes.py 200
	$(BIN)/python tests/test_store.py

clean:
	rm -rf $(VENV) corroscope-demo

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

# torch first and on its own: a package that asks for it would pick a larger build.
# segmentation-models-pytorch goes into a folder of its own, without its torchvision's
# wish for another torch: a torchvision that does not fit breaks all that imports it.
# huggingface-hub and safetensors are what it needs besides. stardist, of which the tests take one
# file that counts matches, would bring others along.
$(VENV)/.all: $(VENV)/.core
	$(PIP) torch
	$(PIP) -e '.[train,video,test,check]' huggingface-hub safetensors
	rm -rf $(VENV)/smp
	$(PIP) --no-deps --target $(VENV)/smp segmentation-models-pytorch timm torchvision stardist
	touch $@
