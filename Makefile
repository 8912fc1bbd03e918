# make demo: set up, index the sample corpus, ask a question.   make test: set up, lint, types, tests.
# make bench-quick: every comparison in small.                  make bench: all of them, see benchmarks/README.md.
# All need the network only the first time.

PYTHON ?= python3
BIN := .venv/bin
RUN_INSTALLED := .venv/installed-run
DEV_INSTALLED := .venv/installed-dev
BENCH_INSTALLED := .venv/installed-bench
DOCS_INSTALLED := .venv/installed-docs
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
SAMPLE := indexes/wordnet
MODELS := $(HOME)/.cache/hpdsearch-models
DATA ?= data
TEXTS ?= $(wildcard $(DATA)/train/*.txt.gz)
TEACHER ?= $(MODELS)/all-mpnet-base-v2
STUDENT ?= $(MODELS)/all-MiniLM-L6-v2
QUESTION := machine that measures earthquakes

.PHONY: demo install test lint types unit bench bench-quick pages docs clean

demo: install $(SAMPLE)/catalog.sqlite
	$(BIN)/hpdsearch query "$(QUESTION)" --index $(SAMPLE) -k 5
	@echo
	@echo 'Ask more: $(BIN)/hpdsearch query'

install: $(RUN_INSTALLED)

test: lint types unit

lint: $(DEV_INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_words.py --warn

types: $(DEV_INSTALLED)
	$(BIN)/mypy

unit: $(DEV_INSTALLED)
	$(BIN)/python -m pytest

# Minutes, with what ships. The results lie in benchmarks/quick/.
bench-quick: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks quick

# Hours, with the public sets and models that benchmarks/README.md names: make bench DATA=... TEXTS=... TEACHER=... STUDENT=...
bench: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks all --data $(DATA) --texts $(TEXTS) --teacher $(TEACHER) --student $(STUDENT) --peers
	$(MAKE) pages

$(SAMPLE)/catalog.sqlite: | $(RUN_INSTALLED)
	$(BIN)/hpdsearch index examples/wordnet.jsonl.gz --output $(SAMPLE)

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(RUN_INSTALLED): setup.cfg constraints.txt pyproject.toml | $(BIN)/python
	$(INSTALL) torch==$$(sed -n 's/^torch==\([^; ]*\).*/\1/p' constraints.txt)
	$(INSTALL) --editable .
	touch $@

$(BENCH_INSTALLED): $(RUN_INSTALLED)
	$(INSTALL) --editable '.[bench]'
	touch $@

$(DEV_INSTALLED): $(RUN_INSTALLED)
	$(INSTALL) --editable '.[dev]'
	touch $@

# The generated parts of README.md, docs/ and benchmarks/REPORT.md; tests compare them.
pages: $(DEV_INSTALLED)
	$(BIN)/python -m benchmarks.report.write
	$(BIN)/python -m benchmarks.report.encoders_page
	$(BIN)/python docs/generate_cli.py
	$(BIN)/cog -r -I . README.md

# The site lies in build/site/.
docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo 'Open build/site/index.html'

$(DOCS_INSTALLED): $(RUN_INSTALLED)
	$(INSTALL) --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis $(SAMPLE)
