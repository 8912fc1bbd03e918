"""An index in shards gives the hits of one index of the same documents, to the last bit of every score."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sharding import EXACT, IDENTIFIERS, make_corpus, make_mixed_corpus
from tiny_encoder import WORDS

from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.index.shards.sharded_index import ShardedIndex

N_SHARDS = (1, 2, 4, 7)
Pair = tuple[Index, list[Index]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, static_encoder: Encoder) -> Iterator[Pair]:
    yield from build_pair(tmp_path_factory.mktemp("english"), make_corpus(), static_encoder)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, static_encoder: Encoder) -> Iterator[Pair]:
    yield from build_pair(tmp_path_factory.mktemp("mixed"), make_mixed_corpus(), static_encoder)


def build_pair(folder: Path, documents: list, encoder: Encoder) -> Iterator[Pair]:
    single = Index.build(folder / "single", documents, encoder=encoder, spec=EXACT)
    sharded = [
        Index.build(folder / f"of-{n}", documents, encoder=encoder, spec=EXACT, shards=n, processes=1) for n in N_SHARDS
    ]
    yield single, sharded
    for each in (single, *sharded):
        each.close()


MARKS = st.sampled_from(["{}", "{}", "{}", "+{}", "-{}", '"{}"'])
TERMS = st.builds(str.format, MARKS, st.sampled_from([*WORDS, *IDENTIFIERS, "the cat", "unknownword"]))
QUERIES = st.lists(TERMS, min_size=1, max_size=7).map(" ".join)
FILTERS = st.sampled_from([None, None, "year = 2003", "year > 2001 and not lang = 'en'", "id = 'doc-3'"])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUERIES, st.sampled_from(["dense", "lexical", "hybrid"]), FILTERS, st.integers(1, 40), st.booleans())
def test_hits_scores_order_and_explanations_are_those_of_one_index(
    pair: Pair, query: str, mode: str, where: str | None, k: int, explain: bool
) -> None:
    single, sharded = pair
    expected = single.search(query, k, mode=mode, where=where, explain=explain)
    for index in sharded:
        assert index.search(query, k, mode=mode, where=where, explain=explain) == expected


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_batches_of_queries_give_the_hits_of_one_index(pair: Pair, mode: str) -> None:
    single, sharded = pair
    queries = ["cat dog", "king of the sea", "E1234-77 gold", "stone", '"the cat"']
    expected = single.search(queries, 15, mode=mode, min_score=0.1)
    assert all(index.search(queries, 15, mode=mode, min_score=0.1) == expected for index in sharded)


@pytest.mark.parametrize(
    "query", ["Haus König", "maison roi", "国王的房子", "wind vent Wind 风", "+chien", "-Hund kalt"]
)
@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_documents_in_several_languages_give_the_hits_of_one_index(mixed: Pair, query: str, mode: str) -> None:
    single, sharded = mixed
    expected = single.search(query, 30, mode=mode)
    for index in sharded:
        assert index.info().languages == single.info().languages
        assert index.search(query, 30, mode=mode) == expected


def test_documents_like_another_one_are_those_of_one_index(pair: Pair) -> None:
    single, sharded = pair
    for doc_id in ("doc-0", "doc-17", "doc-63"):
        expected = single.like(doc_id, 12, where="year > 2001")
        assert all(index.like(doc_id, 12, where="year > 2001") == expected for index in sharded)


def test_counts_fields_values_and_documents_are_those_of_one_index(pair: Pair) -> None:
    single, sharded = pair
    for index in sharded:
        assert isinstance(index, ShardedIndex)
        assert len(index) == len(single)
        assert index.fields() == single.fields()
        assert index.count("year > 2003") == single.count("year > 2003")
        assert sorted(index.doc_ids("year = 2003")) == sorted(single.doc_ids("year = 2003"))
        assert index.frequent_values("year", 3) == single.frequent_values("year", 3)
        assert index.get("doc-9") == single.get("doc-9")
        assert index.get("missing") is None
        assert {each.doc_id: each for each in index.documents()} == {each.doc_id: each for each in single.documents()}


def test_a_filter_may_name_a_field_that_only_one_shard_has(pair: Pair) -> None:
    single, sharded = pair
    assert all(
        index.search("cat", where='lang = "en"') == single.search("cat", where='lang = "en"') for index in sharded
    )


def test_an_unknown_field_is_the_error_of_one_index(pair: Pair) -> None:
    single, sharded = pair
    with pytest.raises(ValueError) as expected:
        single.search("cat", where="colour = 1")
    for index in sharded:
        with pytest.raises(ValueError) as found:
            index.search("cat", where="colour = 1")
        assert str(found.value) == str(expected.value)


def test_after_changes_and_compaction_the_hits_are_those_of_one_index(tmp_path: Path, static_encoder: Encoder) -> None:
    documents = make_corpus(60)
    added = [*make_corpus(40, seed=1)[20:], *(each for each in make_corpus(90, seed=2)[70:])]
    single = Index.build(tmp_path / "single", documents, encoder=static_encoder, spec=EXACT)
    sharded = Index.build(tmp_path / "sharded", documents, encoder=static_encoder, spec=EXACT, shards=3, processes=1)
    for index in (single, sharded):
        report = index.add(added)
        assert (report.n_documents, report.n_replaced) == (40, 20)
        assert index.delete(["doc-1", "doc-75"]) == 2
        index.compact()
    assert sharded.verify() == []
    for query in ("cat dog", "E1234-77", '"the sea"', "king queen of gold"):
        for mode in ("dense", "lexical", "hybrid"):
            assert sharded.search(query, 20, mode=mode) == single.search(query, 20, mode=mode)
