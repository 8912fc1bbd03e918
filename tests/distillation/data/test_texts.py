import numpy as np
import pytest

from hpdsearch import Document
from hpdsearch.distillation.data.texts import held_out_split, read_texts
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
    monkeypatch.setattr("hpdsearch.distillation.data.texts.BLOCK", 2)  # the duplicates lie in other blocks
    texts = ["a cat", " \n", "a dog", "a cat", "", "a fish", "a dog", "a cat"]
    corpus = read(tiny_encoder, *(Document(str(number), text) for number, text in enumerate(texts)))
    assert corpus.texts == ["a cat", "a dog", "a fish"]
    assert (corpus.n_documents, corpus.n_empty, corpus.n_passages, corpus.n_duplicates) == (6, 2, 6, 3)
    titled = read(tiny_encoder, Document("1", "a cat"), Document("2", "a cat", title="king"))
    assert titled.texts == ["a cat", "king\na cat"], "another title is another text"


def test_no_text_is_an_error(tiny_encoder):
    with pytest.raises(DistillError, match="got 0 documents without any"):
        read(tiny_encoder)
    with pytest.raises(DistillError, match="got 2 documents without any"):
        read(tiny_encoder, Document("a", ""), Document("b", "\t"))


def test_held_out_texts_are_drawn_by_the_seed_and_never_trained_on():
    texts = [f"text {number}" for number in range(1000)]
    train, held_out = held_out_split(texts, 60, seed=1)
    assert (len(train), len(held_out)) == (940, 60)
    assert sorted(train + held_out, key=texts.index) == texts
    assert [sorted(part, key=texts.index) for part in (train, held_out)] == [train, held_out], "the order is kept"
    assert held_out_split(texts, 60, seed=1) == (train, held_out)
    assert held_out_split(texts, 60, seed=2)[1] != held_out
    drawn = [int(text.split()[1]) for seed in range(50) for text in held_out_split(texts, 60, seed=seed)[1]]
    assert np.histogram(drawn, bins=4, range=(0, 1000))[0] == pytest.approx(750, rel=0.15), "from everywhere"


def test_at_most_a_tenth_is_held_out():
    texts = [f"text {number}" for number in range(259)]
    assert len(held_out_split(texts, 100, seed=0)[1]) == 25
    assert len(held_out_split(texts, 22, seed=0)[1]) == 22


def test_too_few_texts_are_an_error_that_says_how_many_are_needed():
    texts = [f"text {number}" for number in range(200)]
    assert len(held_out_split(texts, 1000, seed=0)[1]) == 20
    with pytest.raises(DistillError, match=r"expected at least 200 different passages.*got 199"):
        held_out_split(texts[:199], 1000, seed=0)
    with pytest.raises(DistillError, match="expected at least 20, got 19"):
        held_out_split(texts, 19, seed=0)
