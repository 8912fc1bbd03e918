"""docs/cli.md equals the help of the commands, and the examples of docs/filters.md work."""

import re
import runpy
from pathlib import Path

import pytest

from hpdsearch import Index
from hpdsearch.errors import FilterError

DOCS = Path(__file__).parents[2] / "docs"
FILTERS = (DOCS / "filters.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`+) ?(.+?) ?\1 \| (.+) \|$", FILTERS, flags=re.MULTILINE)
ERRORS = re.findall(r"^```text\n(where: .*?\n  (.*?)\n +\^)\n```$", FILTERS, flags=re.MULTILINE | re.DOTALL)


def test_the_reference_of_the_command_line_is_up_to_date():
    generator = runpy.run_path(str(DOCS / "generate_cli.py"))
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == generator["render_page"](), (
        "run python docs/generate_cli.py"
    )


@pytest.fixture(scope="module")
def filter_index(tmp_path_factory, tiny_folder):
    """Return an index of the corpus of docs/filters.md."""
    from hpdsearch.corpus import read_corpus

    folder = tmp_path_factory.mktemp("filters")
    corpus = folder / "corpus.jsonl"
    corpus.write_text(re.search(r"```json\n(.*?)```", FILTERS, flags=re.DOTALL)[1], encoding="utf-8")
    with Index.build(folder / "index", read_corpus(corpus), encoder=tiny_folder) as index:
        yield index


def test_the_page_of_filters_has_examples():
    assert len(ROWS) > 20
    assert len(ERRORS) == 3


@pytest.mark.parametrize(("where", "matches"), [row[1:] for row in ROWS])
def test_a_filter_of_the_page_matches_the_documents_of_the_page(filter_index, where, matches):
    expected = set() if matches == "none" else set(matches.split(", "))
    assert {hit.doc_id for hit in filter_index.search("text", 100, mode="dense", where=where)} == expected
    assert filter_index.count(where) == len(expected)


@pytest.mark.parametrize(("message", "where"), ERRORS)
def test_a_wrong_filter_gives_the_error_of_the_page(filter_index, message, where):
    with pytest.raises(FilterError) as error:
        filter_index.count(where)
    assert str(error.value) == message
