import pytest

from hpdsearch import Document
from hpdsearch.distillation.data.texts import read_texts
from hpdsearch.errors import DistillError

LONG = "The cat sleeps in the house. The dog runs to the river. The bird sings on the tree. The fish is in the sea."


def read(encoder, *documents, max_tokens=14):
    return read_texts((document for document in documents), encoder.token_spans, max_tokens=max_tokens)


def test_passages_hold_every_word_once_and_none_is_longer_than_the_student_reads(tiny_encoder):
    corpus = read(tiny_encoder, Document("a", LONG))
    assert " ".join(corpus.texts) == LONG
    lengths = [len(spans) for spans in tiny_encoder.token_spans(corpus.texts)]
    assert len(lengths) > 1
    assert max(lengths) <= 14


def test_the_title_stands_before_each_passage_as_in_an_index(tiny_encoder):
    corpus = read(tiny_encoder, Document("a", LONG, title="house"), max_tokens=20)
    assert all(text.startswith("house\n") for text in corpus.texts)
    assert " ".join(text.removeprefix("house\n") for text in corpus.texts) == LONG


def test_duplicates_and_blank_documents_are_left_out_and_counted(tiny_encoder, monkeypatch):
    monkeypatch.setattr("hpdsearch.distillation.data.texts.BLOCK", 2)  # the duplicates are in other blocks
    texts = ["a cat", " \n", "a dog", "a cat", "", "a fish", "a dog", "a cat"]
    corpus = read(tiny_encoder, *(Document(str(number), text) for number, text in enumerate(texts)))
    assert corpus.texts == ["a cat", "a dog", "a fish"]
    assert (corpus.n_documents, corpus.n_empty, corpus.n_passages, corpus.n_duplicates) == (6, 2, 6, 3)
    titled = read(tiny_encoder, Document("1", "a cat"), Document("2", "a cat", title="king"))
    assert titled.texts == ["a cat", "king\na cat"], "another title is another text"


def test_no_text_is_an_error(tiny_encoder):
    with pytest.raises(DistillError, match="got 0 documents without text"):
        read(tiny_encoder)
    with pytest.raises(DistillError, match="got 2 documents without text"):
        read(tiny_encoder, Document("a", ""), Document("b", "\t"))
