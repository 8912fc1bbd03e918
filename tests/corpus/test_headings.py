"""The headings of a section are encoded and indexed with its passages."""

from pathlib import Path

import pytest

from hpdsearch import Document, Index
from hpdsearch.corpus import read_corpus
from hpdsearch.corpus.headings import PassageTitles
from hpdsearch.corpus.passages import split_documents

WORD = "word "
MARKDOWN = f"# Guide\n\nIntro.\n\n## Install\n\n{WORD * 40}\n\n### Wheels\n\n{WORD * 40}\n\n## Use\n\nshort\n"


def count_words(texts: list[str]) -> list[list[tuple[int, int]]]:
    """Return the spans of the words: an encoder's tokens, as far as these texts have them."""
    found = []
    for text in texts:
        spans = []
        at = 0
        for word in text.split():
            at = text.index(word, at)
            spans.append((at, at + len(word)))
            at += len(word)
        found.append(spans)
    return found


@pytest.fixture
def guide(tmp_path: Path) -> Document:
    (tmp_path / "guide.md").write_text(MARKDOWN)
    (document,) = read_corpus(tmp_path)
    return document


def test_headings_above_a_passage_are_named_without_the_title(guide):
    titles = PassageTitles(guide)
    text = guide.text
    assert titles.title == "Guide"
    assert titles.heading(0) == ""
    assert titles.heading(text.index("Intro")) == ""
    assert titles.heading(text.index("## Install")) == ""  # the passage holds it
    assert titles.heading(text.index("word")) == "Install"
    assert titles.heading(text.index("### Wheels")) == "Install"
    assert titles.before(text.rindex("word")) == "Guide > Install > Wheels"
    assert titles.heading(text.index("short")) == "Use"


def test_pages_and_slides_are_no_headings():
    locations = ((0, "page 1"), (6, "page 2"))
    titles = PassageTitles(Document("d", "First.Second.", "T", locations=locations))
    assert (titles.before(3), titles.before(8), titles.headings) == ("T", "T", [])


def test_passages_are_encoded_below_their_headings_within_the_budget(guide):
    (split,) = split_documents([guide], count_words, max_tokens=30)
    for passage, text in zip(split.passages, split.texts, strict=True):
        head, _, rest = text.partition("\n")
        assert head == PassageTitles(guide).before(passage.start)
        assert rest == guide.text[passage.start : passage.end]
        assert len(text.split()) <= 30
    heads = {text.partition("\n")[0] for text in split.texts}
    assert {"Guide", "Guide > Install", "Guide > Install > Wheels"} <= heads
    assert split == split_documents([guide], count_words, max_tokens=30)[0]


def test_long_headings_are_left_out():
    heading = "long " * 20
    text = f"{heading}\n{WORD * 100}"
    (split,) = split_documents([Document("d", text, locations=((0, heading.strip()),))], count_words, max_tokens=40)
    assert all(len(each.split()) <= 40 for each in split.texts)
    assert not any(each.startswith("long") for each in split.texts[2:])


def test_a_document_that_is_one_passage_is_encoded_as_it_is(guide):
    (split,) = split_documents([guide], count_words, max_tokens=200)
    assert split.texts == (f"Guide\n{guide.text}",)


def test_a_passage_is_found_by_the_words_of_its_headings(tmp_path, tiny_encoder):
    text = "queen\n" + "the cat sleeps. " * 60
    documents = [Document("d", text, locations=((0, "queen"),)), Document("e", "the dog")]
    with Index.build(tmp_path / "i", documents, encoder=tiny_encoder) as index:
        assert index.info().n_passages > 2
        (hit,) = index.search("+queen", 1, mode="lexical", explain=True)
        assert [each.word for each in hit.explanation.words] == ["queen"]
        index.compact()
        assert index.search("+queen", 1, mode="lexical")[0].doc_id == "d"


def test_vectors_are_not_reused_where_the_headings_differ(tmp_path, tiny_encoder):
    text = "queen\n" + "the cat sleeps. " * 60
    with Index.build(tmp_path / "i", [Document("a", text)], encoder=tiny_encoder) as index:
        assert index.add([Document("b", text)]).n_reused == 1
        assert index.add([Document("c", text, locations=((0, "queen"),))]).n_reused == 0
        assert index.add([Document("d", text, locations=((0, "queen"),))]).n_reused == 1
        plain, _, headed, same = index.vectors(["a", "b", "c", "d"])
        assert (headed == same).all()
        assert headed.shape != plain.shape or (headed != plain).any()
