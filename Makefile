# `make demo` shows the whole thing; `make test` is what CI runs. Both install what they need into .venv first.
PYTHON ?= python3
# Options for the installation of torch, such as another index that holds its builds without CUDA.
TORCH ?=
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-quick lint install clean

demo: .venv/ready
	snakemake
	@echo && head -n 1 results/table2.tex && cat results/table2.csv

test: .venv/ready lint
	python -m pytest

test-quick: .venv/ready
	python -m pytest -m "not workflow and not slow"

lint: .venv/ready
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	snakemake --lint
	pyright
	codespell

install: .venv/ready

# torch first, and alone: asked for by another package, pip might choose another build of it.
.venv/ready: pyproject.toml envs/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, for example: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet $(TORCH) torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint envs/constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf results/demo results/smoke results/table* resources/demo resources/smoke
