# make demo         install what searching needs, index the sample corpus, ask a question
# make test         install everything; check style, imports and types; run all tests
# make test-fast    run the tests that are not marked slow
# make test-cluster install Ray and run the tests that need it
# make dist         build the wheel and the source distribution, and check both
# make bench-quick  run every comparison on small data
# make bench        run all comparisons (benchmarks/README.md)
# make pages        fill the generated parts of README.md, docs/ and benchmarks/REPORT.md
# make docs         build the documentation site
# Each needs the network only the first time.

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
VENV := .venv/pyvenv.cfg
LIGHT_INSTALLED := .venv/installed-light
BENCH_INSTALLED := .venv/installed-bench
DOCS_INSTALLED := .venv/installed-docs
DEV_INSTALLED := .venv/installed-dev
CLUSTER_INSTALLED := .venv/installed-cluster
RELEASE_INSTALLED := .venv/installed-release
REQUIREMENTS := setup.cfg pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
CORPUS ?= examples/wordnet.jsonl.gz
SAMPLE := indexes/wordnet
MODELS := $(HOME)/.cache/hpdsearch-models
DATA ?= data
TEXTS ?= $(wildcard $(DATA)/train/*.txt.gz)
TEACHER ?= $(MODELS)/all-mpnet-base-v2
STUDENT ?= $(MODELS)/all-MiniLM-L6-v2
CLUSTER_TESTS ?= tests/cluster
QUESTION := machine that measures earthquakes

.PHONY: demo install test test-fast test-cluster lint types unit dist bench bench-quick pages docs clean

demo: install $(SAMPLE)/catalog.sqlite
	$(BIN)/hpdsearch query "$(QUESTION)" --index $(SAMPLE) -k 5
	$(BIN)/hpdsearch refine $(SAMPLE)
	$(BIN)/hpdsearch query "$(QUESTION)" --index $(SAMPLE) -k 5
	@echo
	@echo 'Ask more: $(BIN)/hpdsearch query'

install: $(LIGHT_INSTALLED)

test: lint types unit

lint: $(DEV_INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_words.py

# On Python 3.10 pip installs an older numpy, whose types do not fit.
types: $(DEV_INSTALLED)
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then $(BIN)/mypy; else echo 'mypy needs Python 3.11'; fi

unit: $(DEV_INSTALLED)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

test-fast: $(DEV_INSTALLED)
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist worksteal

# Without Ray, `make test` skips them: they take minutes.
test-cluster: $(CLUSTER_INSTALLED)
	$(BIN)/python -m pytest $(CLUSTER_TESTS)

dist: $(RELEASE_INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-wheel-contents dist

# Minutes, with what ships. The results lie in benchmarks/quick/.
bench-quick: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks quick

# Hours, with the public sets and models that benchmarks/README.md names: make bench DATA=... TEXTS=... TEACHER=... STUDENT=...
bench: $(BENCH_INSTALLED)
	$(BIN)/python -m benchmarks all --data $(DATA) --texts $(TEXTS) --teacher $(TEACHER) --student $(STUDENT) --peers
	$(MAKE) pages

$(SAMPLE)/catalog.sqlite: | $(LIGHT_INSTALLED)
	$(BIN)/hpdsearch index $(CORPUS) --output $(SAMPLE) --no-refine

$(VENV):
	$(PYTHON) -m venv .venv

$(LIGHT_INSTALLED): $(REQUIREMENTS) | $(VENV)
	$(INSTALL) --editable .
	touch $@

$(BENCH_INSTALLED): $(REQUIREMENTS) | $(VENV)
	$(INSTALL) --editable '.[bench]'
	touch $@

$(RELEASE_INSTALLED): $(REQUIREMENTS) | $(VENV)
	$(INSTALL) --editable '.[release]'
	touch $@

$(DEV_INSTALLED): $(REQUIREMENTS) | $(VENV)
	$(INSTALL) --editable '.[dev]'
	touch $@

$(CLUSTER_INSTALLED): $(REQUIREMENTS) | $(DEV_INSTALLED)
	$(INSTALL) --editable '.[dev,cluster]'
	touch $@

# The figures of `hpdsearch plan`, and the generated parts of README.md, docs/ and benchmarks/REPORT.md; tests compare them.
pages: $(DEV_INSTALLED)
	$(BIN)/python -m benchmarks.scale.plan --from-result
	$(BIN)/python -m benchmarks.report.write
	$(BIN)/python docs/generate_cli.py
	$(BIN)/cog -r -I . README.md docs/encoders.md docs/scaling.md

# The site lies in build/site/.
docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo 'Open build/site/index.html'

$(DOCS_INSTALLED): $(REQUIREMENTS) | $(VENV)
	$(INSTALL) --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis $(SAMPLE)
