"""Fitting a query adapter to queries and texts: what is used, what is written, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import WORDS, make_tiny_encoder

from hpdsearch import Encoder, fit_queries
from hpdsearch.distillation import queries as module
from hpdsearch.distillation.queries import add_query_adapter, select_queries
from hpdsearch.encoder.query_adapter import fit_query_adapter
from hpdsearch.errors import DistillError

TEXTS = [f"the {one} and the {other}" for one in WORDS[14:24] for other in WORDS[24:34]]
QUERIES = [f"on {one} {other}" for one in WORDS[14:24] for other in WORDS[24:34]]


def test_the_copy_asks_as_fitted_and_encodes_documents_as_before(tiny_encoder: Encoder, tmp_path: Path) -> None:
    made = fit_queries(tiny_encoder.location, tmp_path / "mine", queries=QUERIES, texts=TEXTS)
    assert (made.folder, made.n_queries, made.n_texts) == (tmp_path / "mine", 100, 100)
    encoder = Encoder.load(made.folder)
    expected = fit_query_adapter(tiny_encoder.encode(QUERIES), tiny_encoder.encode(TEXTS))
    np.testing.assert_allclose(encoder.encode_queries(QUERIES), expected(tiny_encoder.encode(QUERIES)), atol=1e-6)
    np.testing.assert_array_equal(encoder.encode(TEXTS), tiny_encoder.encode(TEXTS))
    assert made.offset == pytest.approx(np.linalg.norm(expected.offset))
    assert encoder.space == tiny_encoder.space


def test_queries_are_fitted_with_the_query_prompt_and_texts_with_that_of_documents(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "prompted", query_prompt="song: ", document_prompt="book of: ")
    prompted = Encoder.load(folder)
    expected = fit_query_adapter(prompted.encode_queries(QUERIES), prompted.encode(TEXTS))
    made = fit_queries(folder, tmp_path / "mine", queries=QUERIES, texts=TEXTS)
    encoder = Encoder.load(made.folder)
    wanted = expected(prompted.encode_queries(QUERIES))
    np.testing.assert_allclose(encoder.encode_queries(QUERIES), wanted, atol=1e-6)
    assert (encoder.query_prompt, encoder.document_prompt) == ("song: ", "book of: ")


def test_a_fitted_encoder_can_be_fitted_again(tiny_encoder: Encoder, tmp_path: Path) -> None:
    fit_queries(tiny_encoder.location, tmp_path / "one", queries=QUERIES, texts=TEXTS)
    fit_queries(tmp_path / "one", tmp_path / "two", queries=TEXTS, texts=QUERIES)
    again = fit_queries(tmp_path / "two", tmp_path / "three", queries=QUERIES, texts=TEXTS)
    assert Encoder.load(again.folder).name == "three"
    card, first = (json.loads((each / "encoder.json").read_text()) for each in (again.folder, tmp_path / "one"))
    assert card == first | {"name": "three"}  # with the checksum of each file


def test_blank_and_repeated_texts_and_texts_among_the_queries_do_not_count(
    tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "N_FITTED", 60)
    made = fit_queries(
        tiny_encoder.location,
        tmp_path / "mine",
        queries=[" ", *QUERIES[:1], *QUERIES],
        texts=["", *QUERIES[:3], *TEXTS, *TEXTS],
    )
    assert (made.n_queries, made.n_texts) == (60, 60)
    expected = fit_query_adapter(tiny_encoder.encode(QUERIES[:60]), tiny_encoder.encode(TEXTS[:60]))
    np.testing.assert_allclose(Encoder.load(made.folder).query_adapter.offset, expected.offset, atol=1e-6)  # type: ignore[union-attr]


def test_an_adapter_is_added_in_place(tiny_encoder: Encoder, tmp_path: Path) -> None:
    one = fit_queries(tiny_encoder.location, tmp_path / "one", queries=QUERIES, texts=TEXTS).folder
    before = Encoder.load(one).sha256
    add_query_adapter(one, QUERIES, TEXTS, scaling=0)
    assert Encoder.load(one).sha256 != before
    np.testing.assert_array_equal(Encoder.load(one).query_adapter.scale, np.ones(16))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("queries", "texts", "message"),
    [
        (QUERIES[:49], TEXTS, "at least 50 different queries, got 49"),
        (QUERIES, TEXTS[:49] + QUERIES, "at least 50 different texts that are not among the queries, got 49"),
    ],
)
def test_too_few_texts_are_an_error_and_write_nothing(
    tiny_encoder: Encoder, tmp_path: Path, queries: list[str], texts: list[str], message: str
) -> None:
    with pytest.raises(DistillError, match=message):
        fit_queries(tiny_encoder.location, tmp_path / "mine", queries=queries, texts=texts)
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_holds_something_is_refused(tiny_encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("mine")
    with pytest.raises(DistillError, match="expected a new or empty folder"):
        fit_queries(tiny_encoder.location, tmp_path, queries=QUERIES, texts=TEXTS)


def test_a_pattern_selects_questions() -> None:
    texts = ["What is rain", "rain in Spain", "is it rain?", "whatever", "when rain falls"]
    assert select_queries(texts, r"(what|when)\b|.*\?$") == ["What is rain", "is it rain?", "when rain falls"]
    assert select_queries(texts, "") == texts
    with pytest.raises(DistillError, match=r"query_pattern: expected a regular expression, got '\('"):
        select_queries(texts, "(")
