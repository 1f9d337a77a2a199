# Every target sets up what it needs first; once that is done it takes less than a second.

# The interpreter to make the virtual environment with, as in `make PYTHON=python3.12 test`.
PYTHON ?= python3
VENV ?= .venv
# How many processes run the tests.
JOBS ?= 2
# How long `make soak` and each part of `make fuzz` run, and the first case of `make fuzz`.
MINUTES ?= 60
SEED ?= 0

# A process takes a whole file at a time, since the tests of one share what they make, in the order that
# test/conftest.py gives.
PYTEST = $(VENV)/bin/python -m pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder

# Setup installs packages without bytecode, which their first import writes; otherwise every process would compile them.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help setup light demo check test fuzz soak lint docs bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.* ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## make the virtual environment with everything in it
	@$(PYTHON) scripts/bootstrap.py $(VENV) full

light: ## make the virtual environment without training and tests
	@$(PYTHON) scripts/bootstrap.py $(VENV) light

demo: light ## map a simulated drive, localize three others through the live node, and report
	@$(VENV)/bin/scene-geo-loc demo

check: setup ## run the fast tests, in a few minutes
	@$(PYTEST) -m "not slow and not ros"

test: setup ## run all tests
	@$(PYTEST) --durations 10

fuzz: setup ## interrupt every writer, fire at the nodes, and read damaged inputs, MINUTES (60) each, from SEED (0)
	@PYTHONPATH=test $(VENV)/bin/python -m fuzz.interruptions --kills 10 --limits 5 --seed $(SEED)
	@PYTHONPATH=test $(VENV)/bin/python -m fuzz.full_disk --rooms 5 --seed $(SEED)
	@PYTHONPATH=test $(VENV)/bin/python -m fuzz.recorder --kills 10 --limits 5 --seed $(SEED)
	@PYTHONPATH=test $(VENV)/bin/python -m fuzz.node_messages --minutes $(MINUTES) --seed $(SEED)
	@PYTHONPATH=test $(VENV)/bin/python -m fuzz.harness --minutes $(MINUTES) --seed $(SEED)

soak: setup ## run a node for MINUTES (60) through kidnaps, clock loops and map switches; watch its memory
	@PYTHONPATH=test $(VENV)/bin/python -m fuzz.soak --minutes $(MINUTES)

lint: setup ## check style, types and the floors of the house
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

docs: setup ## build the documentation as a site in build/docs
	@$(VENV)/bin/python -c "import furo, myst_parser, sphinx" 2>/dev/null \
	  || $(VENV)/bin/python -m pip install --quiet --editable ".[docs]"
	@$(VENV)/bin/python -m sphinx --quiet --fail-on-warning --keep-going -c docs/site docs build/docs
	@echo "open build/docs/README.html"

bench: light ## measure speed and memory
	@$(VENV)/bin/scene-geo-loc bench

clean: ## remove what was built, but not the virtual environment
	@rm -rf build install log demo docs/api *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
