# Two commands for users (run, test); the rest for those who carry the project on.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
.DEFAULT_GOAL := help
.PHONY: help setup run demo servers test check lint types soak bench bench-more bench-flows docs lock simulate clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 setup" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## prepare .venv with the development tools

run: setup ## embedded conductor and sidecar with acme_demo, events flowing, until Ctrl-C
	@$(BIN)/conductor demo --forever

demo: setup ## the guided tour
	@$(BIN)/conductor demo

servers: ## install the real servers that tests talk to (Debian packages)
	@for script in tests/servers/install*.sh; do sh $$script || exit 1; done

test: check servers ## everything that CI runs
	$(BIN)/python -m pytest -n 2 -m "not soak"

check: setup lint types ## lint, layers and types

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy
	$(BIN)/basedpyright

soak: setup ## the full fault sweeps
	$(BIN)/python -m pytest -m soak --timeout 7200

SEEDS ?= 1000
simulate: setup ## whole worlds in virtual time, one for each seed: make simulate SEEDS=10000
	$(BIN)/python tests/simulation --seeds $(SEEDS)

bench: setup ## measure, then write benchmarks/results.json and benchmarks/README.md
	$(BIN)/python -m benchmarks

bench-more: setup ## journal, plans, tools, sidekick: benchmarks/MORE.md
	$(BIN)/python -m benchmarks.more

bench-flows: setup ## flows against bare asyncio, others, Starlette: benchmarks/FLOWS.md
	-$(BIN)/python -m benchmarks.flows.peers.install
	$(BIN)/python -m benchmarks.flows

docs: setup ## write what is generated under docs/ and examples/flows/
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/doctor.py
	$(BIN)/python docs/flows.py
	$(BIN)/python docs/sidekick.py
	$(BIN)/python docs/protocol/generate.py
	$(BIN)/python examples/flows/snapshots.py

lock: ## pin the newest versions with hashes (needs uv)
	uv pip compile -q -U --generate-hashes --no-emit-index-url --no-header --no-annotate --universal -p 3.11 requirements.in -o requirements.lock
	uv pip compile -q -U --generate-hashes --no-emit-index-url --no-header --no-annotate --universal -p 3.11 requirements-dev.in -o requirements-dev.lock

clean: ## remove what the targets made
	rm -rf $(VENV) .run .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
