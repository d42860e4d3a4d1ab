.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup constraints demo test test-all test-lowest test-newest check format bench

help: ## Print this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/ready ## Create .venv with everything

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

constraints: setup ## Renew constraints.txt: the newest versions that pyproject.toml allows
	$(BIN)/python scripts/environments.py renew

demo: setup ## Tune the embedded model for code search: base, frozen, cached (minutes)
	$(BIN)/telly demo

check: setup ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check ## Checks and tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-all: check ## Checks and all tests, the slow ones too
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "slow or not slow"

test-lowest: setup ## The fast tests with the oldest versions that pyproject.toml allows
	$(BIN)/python scripts/environments.py test lowest

test-newest: setup ## The fast tests with the newest versions that pyproject.toml allows
	$(BIN)/python scripts/environments.py test newest

bench: setup ## Measure speed and memory; writes benchmarks/results and the README's table
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/tasks.py
