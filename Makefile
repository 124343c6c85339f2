# `make demo` shows the whole thing; `make test` is what CI runs. Both install what they need into .venv first.
PYTHON ?= python3
# Options for the installation of torch, such as another index that holds its builds without CUDA.
TORCH ?=
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Debian packages that tests use beside Python's: pdflatex compiles the tables, pdftotext reads them, chromium shows the
# report.
DEBIAN := texlive-latex-base texlive-latex-recommended poppler-utils chromium
# How the image is made, see containers/build.sh.
IMAGE_OF := $(addprefix containers/,stgrpo.def base.def build.sh requirements.py) pyproject.toml envs/constraints.txt
AS_ROOT_ON_DEBIAN := [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null

.PHONY: demo test test-quick lint install system image against-lmms-eval clean

demo: .venv/ready
	snakemake
	@echo && head -n 1 results/table1.tex && ls -l results/*.tex results/*.csv results/figure3.* results/report.html
	@echo "rows set aside, with reasons: results/demo/questions/*.aside.csv"

test: .venv/ready system lint
	python -m pytest

test-quick: .venv/ready
	python -m pytest -m "not workflow and not slow and not cluster"

lint: .venv/ready
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	snakemake --lint
	pyright
	codespell

install: .venv/ready

# What the tests of tables, report and cluster need: LaTeX, Chromium, Slurm, Apptainer, and an image that needs no
# registry. Elsewhere than as root on Debian the tests that miss something are skipped and say so.
system: .venv/ready
	@if ! { $(AS_ROOT_ON_DEBIAN); }; then echo "not root on Debian: tests that miss LaTeX, Chromium, Slurm or Apptainer are skipped"; \
	else \
	  { kpsewhich booktabs.sty > /dev/null && command -v pdftotext > /dev/null && command -v chromium > /dev/null; } || { apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN) > /dev/null; } && \
	  tests/cluster/install_slurm.sh && tests/cluster/install_apptainer.sh && \
	  $(MAKE) --no-print-directory image BASE=debootstrap SQUASH="-comp zstd -Xcompression-level 3"; \
	fi

image: containers/stgrpo.sif

# The wheels of BASE=debootstrap are those of this Python, which must be the image's minor version: 3.11.
containers/stgrpo.sif: $(IMAGE_OF)
	BASE="$(BASE)" TORCH="$(TORCH)" EXTRAS="$(EXTRAS)" SQUASH="$(SQUASH)" PYTHON=python containers/build.sh $@

# torch first, and alone: asked for by another package, pip might choose another build of it.
.venv/ready: pyproject.toml envs/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, for example: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet $(TORCH) torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint envs/constraints.txt --editable ".[dev]"
	touch $@

# Our benchmark scores against those of lmms-eval's own functions, which stay out of the project's environment.
against-lmms-eval: .venv/ready .lmms-eval/ready
	python scripts/against_lmms_eval.py .lmms-eval/bin/python

.lmms-eval/ready: envs/lmms-eval.txt
	$(PYTHON) -m venv --clear .lmms-eval
	.lmms-eval/bin/python -m pip install --quiet --no-deps --requirement envs/lmms-eval.txt
	touch $@

clean:
	rm -rf results/demo results/smoke results/table* results/figure* results/report.html resources/demo resources/smoke
