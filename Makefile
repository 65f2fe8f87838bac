# make test: install everything into .venv and run the tests. make lint: ruff and mypy.
# make reports: run every recipe and renew reports/ (needs ../shared and an idle machine).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: test test-fast lint reports clean

test: $(STAMP)
	$(BIN)/pytest

test-fast: $(STAMP)
	$(BIN)/pytest -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

reports: $(STAMP)
	@for recipe in recipes/*.toml; do \
		name=$$(basename $$recipe .toml); \
		$(BIN)/segport run $$recipe -o runs/$$name || exit 1; \
		for result in runs/$$name/*/result.json; do \
			folder=reports/$$name/$$(basename $$(dirname $$result)); \
			$(BIN)/segport report $$result -o $$folder || exit 1; \
		done; \
	done

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "segport needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info
