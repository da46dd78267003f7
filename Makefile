PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DELETE_ON_ERROR:
.PHONY: demo test lint clean

# Restore the pictures in examples/ with the shipped model.
demo: $(VENV)/.installed
	@echo "Restoring six photos, a few seconds each:"
	@$(BIN)/idrestore examples/degraded -o restored --overwrite --retry-failed
	@echo
	@echo "before: $(CURDIR)/examples/degraded"
	@echo "after:  $(CURDIR)/restored"
	@echo "Yours:  $(BIN)/idrestore photo.jpg    (the result lies beside it)"

test: $(VENV)/.test-installed
	$(BIN)/python -m pytest

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "idrestore needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing idrestore into $(VENV), once: torch alone is about 200 MB (on Linux without its CPU build, gigabytes: see README)"
	$(BIN)/python -m pip install --quiet --progress-bar on --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test-installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing idrestore with what its tests need into $(VENV), once"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) restored
