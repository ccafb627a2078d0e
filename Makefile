# One set of targets for people and CI. A machine needs Python 3.11+ with venv, and make; the rest is fetched.
PYTHON ?= python3
PORT ?= 8700
DATA ?= data
TESTS ?= tests
# Most of the suite waits for processes and disks, so two share it; a file of tests stays in one of them.
WORKERS ?= 2

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Node comes from the venv; npm starts further Nodes, which it looks up on PATH.
NPM := cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm
PAGE := src/asynclog/server/static/index.html
MODULES := web/node_modules/.package-lock.json
PAGE_SOURCES := $(shell find web -name node_modules -prune -o -type f -print 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup web run test test-python test-web browser bench bench-peers wheel lock clean
.PHONY: api-types audit check check-lint check-types check-imports check-web format fuzz
.DELETE_ON_ERROR:

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.installed ## create .venv with everything needed to run, test and build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "too old: name a Python 3.11+ by PYTHON=...")'
	$(PYTHON) -m venv .venv

# Two stamps: a changed pyproject.toml (an entry point, say) must not reinstall all that is locked.
.venv/.locked: requirements/dev.txt | .venv/bin/python
	$(PIP) install --quiet --requirement requirements/dev.txt
	@touch $@

.venv/.installed: .venv/.locked pyproject.toml
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

web: $(PAGE) ## build the dashboard

$(MODULES): web/package-lock.json | .venv/.installed
	$(NPM) ci --no-audit --no-fund
	@touch $@

$(PAGE): $(PAGE_SOURCES) $(MODULES)
	$(NPM) run build
	@touch $@

run: setup web ## serve the demo at http://127.0.0.1:8700 on ./data
	exec $(BIN)/asynclog demo --data $(DATA) --port $(PORT)

test: test-python test-web ## run the whole suite; TESTS=tests/unit runs a part of it

test-python: setup web browser
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(TESTS)

test-web: setup $(MODULES)
	$(NPM) test

api-types: setup $(MODULES) ## write the page's types of the API anew, after a change of the API
	$(BIN)/python -m tests.browser.api_types

browser: ## install a Chromium for the browser tests where that is possible
	@.ci/chromium

check: check-lint check-types check-imports check-web ## lint, formatting, types and import rules, without changing anything

check-lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

check-types: setup
	$(BIN)/mypy

check-imports: setup
	$(BIN)/lint-imports --no-logo

check-web: setup $(MODULES)
	$(NPM) run lint
	$(NPM) run check

format: setup $(MODULES) ## put all sources into their one form
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(NPM) run format

audit: setup $(MODULES) ## ask whether a locked version has a known vulnerability; says so where that cannot be asked
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python .ci/audit.py

fuzz: setup ## run the fuzzers for long: EXAMPLES=100000 of each
	ASYNCLOG_FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/python -m pytest --timeout 0 tests/property/test_fuzz_*.py

bench: setup ## run every benchmark; BENCH=log_call runs one
	$(BIN)/python -m bench $(BENCH)

bench-peers: .venv-peers/.installed ## install Prefect and Dagster into .venv-peers, for `make bench` to measure against

.venv-peers/.installed: requirements/peers.txt | .venv/.installed
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip --disable-pip-version-check install --quiet --requirement requirements/peers.txt
	@touch $@

wheel: setup web ## build sdist and wheel into dist/
	$(BIN)/hatchling build --clean

LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
	--no-emit-index-url

lock: setup ## resolve the newest allowed versions anew into requirements/
	$(LOCK) --group dev --output-file requirements/dev.txt pyproject.toml
	$(LOCK) --group pyproject.toml:peers --output-file requirements/peers.txt

clean: ## remove everything that can be made again; never ./data
	rm -rf .venv .venv-peers dist build web/node_modules $(dir $(PAGE)) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
