# `make demo` shows the whole thing; `make test` is what CI runs. Both install what they need into .venv first.
PYTHON ?= python3
# Options for the installation of torch, such as another index that holds its builds without CUDA.
TORCH ?=
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Debian packages that tests use beside Python's: pdflatex compiles the tables, pdftotext reads them.
DEBIAN := texlive-latex-base texlive-latex-recommended poppler-utils

.PHONY: demo test test-quick lint install system clean

demo: .venv/ready
	snakemake
	snakemake --report results/report.html
	@echo && head -n 1 results/table1.tex && ls -l results/*.tex results/*.csv results/figure3.* results/report.html
	@echo "rows set aside, with reasons: results/demo/questions/*.aside.csv"

test: .venv/ready system lint
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

# Elsewhere than as root on Debian the tests that miss something are skipped and say so.
system:
	@if kpsewhich booktabs.sty > /dev/null && command -v pdftotext > /dev/null; then true; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN); \
	else echo "not installed, so some tests are skipped: $(DEBIAN)"; fi

# torch first, and alone: asked for by another package, pip might choose another build of it.
.venv/ready: pyproject.toml envs/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, for example: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet $(TORCH) torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint envs/constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf results/demo results/smoke results/table* results/figure* results/report.html resources/demo resources/smoke
