PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Tests of running clusters are disturbed by others beside them: they come one after the other.
REAL_TIME := $(addprefix tests/,acceptance crash links observability process security)

.PHONY: help setup demo test prove lint bench lock clean

help:  ## Show what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile

setup: $(INSTALLED)  ## Make .venv with everything from the hash-pinned lock, and the aulario command in it

$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "aulario needs Python 3.11 or newer: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "this Python has no venv: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## Run the whole cluster and the reference load, killing the primary half way
	$(BIN)/aulario demo

test: setup  ## Run every test
	$(BIN)/python -m pytest --numprocesses auto $(addprefix --ignore ,$(REAL_TIME))
	$(BIN)/python -m pytest $(REAL_TIME)

prove: setup  ## Every proof at its full length (hours; goes on where it was interrupted), then RELIABILITY.md
	$(BIN)/python -m ops.prove.all $(PROVE)

bench: setup  ## Transactions a second and latency on this machine, fsynced on both servers
	$(BIN)/python -m ops.bench

lint: setup  ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock:  ## Pin the dependencies of pyproject.toml again (needs pip-compile of pip-tools)
	CUSTOM_COMPILE_COMMAND="make lock" pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra=dev -o requirements-dev.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -c requirements-dev.lock -o requirements.lock pyproject.toml

clean:  ## Remove what make setup and the tools made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
