# One word each. Needs only Python >= 3.11; everything is installed into .venv.
BIN := .venv/bin
INSTALL := $(BIN)/pip install -q -c constraints.txt

.PHONY: setup demo test coverage lint docs bench clean
.DEFAULT_GOAL := setup

setup: .venv/installed  ## the package, editable, with everything needed to work on it

.venv/installed: pyproject.toml constraints.txt
	python3 -m venv .venv
	$(INSTALL) -e '.[test,docs,dev]'
	touch $@

demo: setup  ## the main job: the 100 lowest of 2.9e10 removals, proven
	$(BIN)/qubo-prune solve bytelm-40-branch --remove 8

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

coverage: setup  ## which lines the tests reach, several times as long as the tests; docs/maintaining/coverage.md
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage json -q
	$(BIN)/python -m benchmarks.coverage coverage.json

lint: setup  ## style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup  ## into site/; `mkdocs serve` shows them while you write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: setup  ## the figures of docs/benchmarks.md: states per second, and time to proof beside the peers
	$(BIN)/python -m benchmarks.enumeration
	$(BIN)/qubo-prune bench run benchmarks/suites/proofs.toml --out proofs.jsonl
	$(BIN)/python -m benchmarks.qaoa

clean:
	rm -rf .venv build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* coverage.json
