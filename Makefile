# One place for everything a developer types. `make help` lists it; `make PYTHON=python3.12 …` takes another Python.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --no-compile --constraint constraints.txt

.PHONY: help up demo test coverage mutants contract chaos check format bench pictures clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*  ## ' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*  ## /\t/' | expand -t 12
	@echo
	@echo "The first one of them sets up $(VENV) with $(PYTHON); to take another Python: make PYTHON=python3.12 …"

# What runs, and on top of it what tests; each made again when a version in these files changes.
$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Andon needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No environment could be made; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Setting up $(VENV) …"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Adding what checks and tests …"
	@$(PIP) --editable '.[dev]'
	@touch $@

up: $(VENV)/.run  ## a local workspace, the bot, an example shop and its customers; prints one URL, Ctrl-C ends it all
	@exec $(BIN)/python -m examples.up

demo: $(VENV)/.run  ## the whole story without a browser, every step checked; a minute
	@exec $(BIN)/python -m examples.demo

test: $(VENV)/.dev  ## everything that needs no root; one file: .venv/bin/pytest tests/core/test_alarms.py
	@exec $(BIN)/python -m pytest -q -n 2 --dist worksteal

coverage: $(VENV)/.dev  ## every line and branch of the core is walked by a story; the random and exhaustive tests do not count
	@exec $(BIN)/python -m pytest tests/core -q -n 2 --dist worksteal $(foreach name,walk properties definition_any why_machine,--ignore tests/core/test_$(name).py) \
	    --cov=core --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

mutants: $(VENV)/.dev  ## bugs put into the rules one by one, and the story that notices each
	@exec $(BIN)/python -m tests.core.mutants

contract: $(VENV)/.dev  ## what every deployer must do, as a table: deployers × cases
	@exec $(BIN)/python -m tests.integrations.contract_table

chaos: $(VENV)/.dev  ## faults without end: five minutes over two replicas; SEED=… repeats a storm, STORM=60 makes it shorter
	@exec $(BIN)/python -m tests.chaos

check: $(VENV)/.dev  ## format, lint, types, who may import whom
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(VENV)/.dev  ## let ruff format and mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

# The engines that ours is measured beside are installed for this alone, with pins of their own.
$(VENV)/.bench: $(VENV)/.run bench/constraints.txt
	@echo "Adding what is measured beside ours …"
	@$(PIP) --constraint bench/constraints.txt --editable '.[bench]'
	@touch $@

bench: $(VENV)/.bench  ## how fast the parts are, each against a yardstick of the same run; a quarter of an hour
	@exec $(BIN)/python -m bench

pictures: $(VENV)/.dev  ## the pictures of the README, taken of the local workspace
	@exec $(BIN)/python -m bench.pictures

clean:  ## remove the environment, caches and local state
	@rm -rf $(VENV) .andon .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov build dist
