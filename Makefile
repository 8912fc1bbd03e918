# make demo: set up, index the sample corpus, ask a question.   make test: set up, lint, types, tests.
# Both need the network only the first time.

PYTHON ?= python3
BIN := .venv/bin
RUN_INSTALLED := .venv/installed-run
DEV_INSTALLED := .venv/installed-dev
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
SAMPLE := indexes/wordnet
QUESTION := machine that measures earthquakes

.PHONY: demo install test lint types unit clean

demo: install $(SAMPLE)/catalog.sqlite
	$(BIN)/hpdsearch query "$(QUESTION)" --index $(SAMPLE) -k 5
	@echo
	@echo 'Ask more: $(BIN)/hpdsearch query'

install: $(RUN_INSTALLED)

test: lint types unit

lint: $(DEV_INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_INSTALLED)
	$(BIN)/mypy

unit: $(DEV_INSTALLED)
	$(BIN)/python -m pytest

$(SAMPLE)/catalog.sqlite: | $(RUN_INSTALLED)
	$(BIN)/hpdsearch index examples/wordnet.jsonl.gz --output $(SAMPLE)

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(RUN_INSTALLED): setup.cfg constraints.txt pyproject.toml | $(BIN)/python
	$(INSTALL) torch==$$(sed -n 's/^torch==\([^; ]*\).*/\1/p' constraints.txt)
	$(INSTALL) --editable .
	touch $@

$(DEV_INSTALLED): $(RUN_INSTALLED)
	$(INSTALL) --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis $(SAMPLE)
