# Needs only Python 3.11 or newer; everything else goes into $(VENV).
PYTHON ?= python3
VENV ?= .venv
# Processes that share the tests; each computes on one thread.
WORKERS ?= 2

BIN := $(VENV)/bin
CORE := $(VENV)/.installed-core
DEV := $(VENV)/.installed-dev
# Through the environment the pins also hold where pip builds the package itself.
INSTALL := PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check

.PHONY: help demo test check bench clean

help:
	@echo "make demo    index the bundled pictures, answer Chinese queries, write a contact sheet to demo_out/"
	@echo "make test    the whole test suite"
	@echo "make check   format, lint, types, import directions"
	@echo "make bench   speed against the peers, on this machine"
	@echo "make clean   remove the environment and every cache"

demo: $(CORE)
	$(BIN)/tuwen demo

test: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

bench: $(DEV)
	$(BIN)/python -m benchmarks

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "tuwen needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[data]"
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[data,dev]"
	@touch $(CORE) $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
