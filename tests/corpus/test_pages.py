from pathlib import Path

import pytest

from hpdsearch.corpus import read_corpus
from hpdsearch.corpus.pages import find_markdown_title, find_rst_title
from hpdsearch.errors import CorpusError

PAGE = Path(__file__).parent.parent / "data" / "corpus" / "folder" / "guide" / "page.html"


def read_html(tmp_path, raw):
    (tmp_path / "page.html").write_bytes(raw)
    (document,) = read_corpus(tmp_path)
    return document


def test_a_page_becomes_its_title_and_its_paragraphs():
    """The page has a menu, a footer, a script and a style sheet, and its meta element names Latin-1."""
    (document,) = read_corpus(PAGE)
    assert document.title == "The old harbour"
    assert document.text == (
        "Harbour\n\nThe café on the quay opens at six.\n\nNaïve visitors come at noon.\n\n"
        "  • first boat\n  • second boat\ntide  =  high\nmoon  =  full"
    )


@pytest.mark.parametrize(
    "raw",
    [
        "<p>naïve €".encode(),
        "<p>naïve €".encode("utf-8-sig"),
        "<p>naïve €".encode("utf-16"),
        "<p>naïve €".encode("windows-1252"),
        "<meta charset=latin1><p>naïve €".encode("windows-1252"),
        "<META http-equiv='Content-Type' content='text/html; charset=iso-8859-15'><p>naïve €".encode("iso-8859-15"),
        "<?xml version='1.0' encoding='iso-8859-15'?><p>naïve €".encode("iso-8859-15"),
        "<meta charset='utf-16'><p>naïve €".encode(),
    ],
)
def test_the_charset_is_detected(tmp_path, raw):
    assert read_html(tmp_path, raw).text == "naïve €"


def test_a_page_that_is_not_in_its_charset_is_refused(tmp_path):
    with pytest.raises(
        CorpusError, match=r"page\.html:2: expected utf-8 as the page declares, got the byte 0xef at offset 26"
    ):
        read_html(tmp_path, b"<meta charset=utf-8>\n<p>na\xefve")


def test_all_of_a_page_without_main_element_is_read(tmp_path):
    raw = b"<title>T</title><body><header><h1>Head</h1></header><div>One</div><p>Two<br>three</p><aside>no</aside>"
    assert read_html(tmp_path, raw).text.split() == ["Head", "One", "Two", "three"]


def test_an_empty_main_element_does_not_hide_the_page(tmp_path):
    assert read_html(tmp_path, b"<main> </main><p>Text").text == "Text"


def test_a_page_that_has_only_a_title_gets_it_as_text(tmp_path):
    document = read_html(tmp_path, b"<title>Only &amp; all</title><nav>menu</nav>")
    assert (document.title, document.text) == ("Only & all", "Only & all")


@pytest.mark.parametrize("raw", [b"", b" \n", b"<html></html>", b"<script>only()</script>"])
def test_an_empty_page_is_no_document(tmp_path, raw):
    with pytest.raises(CorpusError, match="only empty ones"):
        read_html(tmp_path, raw)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Title\ntext", "Title"),
        ("text\n\n## Title ##\n", "Title"),
        ("Title\n=====\n", "Title"),
        ("Title\n---\n", "Title"),
        ("```\n# comment\n```\n# Title", "Title"),
        ("~~~\n```\n# comment\n~~~\n# Title", "Title"),
        ("---\ntitle: x\n---\n\n# Title", "Title"),
        ("text\n\n---\n\n# Title", "Title"),
        ("#hashtag\n", ""),
        ("", ""),
        ("plain text", ""),
    ],
)
def test_the_title_of_markdown_is_its_first_heading(text, title):
    assert find_markdown_title(text) == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Title\n=====\n\ntext", "Title"),
        ("=====\nTitle\n=====\n\ntext", "Title"),
        ("=======\n Title\n=======\n", "Title"),
        (".. _label:\n\nTitle\n~~~~~~~\n", "Title"),
        ("text\n\n----\n\nTitle\n-----\n", "Title"),
        ("Long title\n===\n", ""),
        ("plain text", ""),
        ("", ""),
    ],
)
def test_the_title_of_restructured_text_is_its_first_section_title(text, title):
    assert find_rst_title(text) == title
