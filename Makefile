# One set of targets for people and CI. A machine needs Python 3.11+ with venv, and make; the rest is fetched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed ## create .venv with everything needed to run, test and build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Two stamps: a changed pyproject.toml (an entry point, say) must not reinstall all that is locked.
$(VENV)/.locked: requirements/dev.txt | $(VENV)/bin/python
	$(PIP) install --quiet --requirement requirements/dev.txt
	touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lock: setup ## resolve the newest allowed versions anew into requirements/dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --group dev --output-file requirements/dev.txt pyproject.toml
