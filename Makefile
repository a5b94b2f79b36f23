# One place for everything a developer types. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help up demo test check format bench pictures clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed 's/:.*  ## /\t/' | expand -t 12

$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Andon needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up (first time only) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

up: $(VENV)/.run  ## local workspace, bot, example shop and its traffic: prints one URL, Ctrl-C ends it all
	@exec $(BIN)/andon up

demo: $(VENV)/.run  ## the whole story without a browser, every step checked
	@exec $(BIN)/andon demo

test: $(VENV)/.dev  ## everything that needs no root
	@$(BIN)/pytest -q -n 2 --dist worksteal

check: $(VENV)/.dev  ## format, lint, types, imports
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(VENV)/.dev  ## let ruff format and mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.dev  ## ratios against named yardsticks, in one run
	@$(BIN)/python -m bench.ack

pictures: $(VENV)/.dev  ## the pictures of the README, from the local workspace
	@$(BIN)/python -m bench.pictures

clean:  ## remove the environment and local state
	@rm -rf $(VENV) .andon
