# make demo    sets up .venv with what the main job needs, then runs it
# make test    adds what tests need, then runs them all
#
# TORCH        what pip installs as torch; the release is pinned because bytes depend on it
# TORCH_ARGS   options of that one pip call, e.g. --index-url https://download.pytorch.org/whl/cpu (CPU-only build)
# PIP_ARGS     options of every pip call

PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_ARGS ?=
PIP_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)

.PHONY: demo test lint clean

demo: $(VENV)/demo.stamp
	$(BIN)/sterna demo

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy sw/sterna hw/sterna sim/sterna

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone, so that TORCH_ARGS decides about it and about nothing else.
$(VENV)/demo.stamp: pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV); $(TORCH) is the large part"
	$(PIP) $(TORCH_ARGS) '$(TORCH)'
	$(PIP) --editable '.[train,sim,interop]'
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp
	$(PIP) --editable '.[dev]'
	@touch $@
