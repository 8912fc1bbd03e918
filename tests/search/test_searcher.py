"""Search against brute force: hits, order and scores, on every path of the search."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import (
    TOLERANCE,
    assert_best,
    compute_coverage,
    compute_dense_scores,
    compute_hybrid_scores,
    make_documents,
    read_passages,
)
from tiny_encoder import WORDS

import hpdsearch.search.searcher as search_module
from hpdsearch.dense import Codec, IndexSpec, Kind, OperatingPoint, OperatingPoints, Segment, auto
from hpdsearch.encoder import Encoder
from hpdsearch.errors import FilterError, QueryError
from hpdsearch.index import Index
from hpdsearch.indexer.merge_policy import MergePolicy
from hpdsearch.records import Document, Hit
from hpdsearch.search import Mode
from hpdsearch.search.opening import open_snapshot
from hpdsearch.search.snapshot import MAX_CACHED_FILTERS

QUERIES = ["cat dog", "the queen of the river", "sings", "old green war peace moon stone", "zzz 42"]
Passages = dict[tuple[str, str], np.ndarray]
KS = (1, 3, 10, 57, 2000)
FILTERS: dict[str, Callable[[int], bool]] = {
    "half = 0": lambda i: i % 2 == 0,
    "not half = 0": lambda i: i % 2 != 0,
    "tenth >= 8": lambda i: i % 10 >= 8,
    "hundredth = 7": lambda i: i % 100 == 7,
    "number = 123": lambda i: i == 123,
    "number < 0": lambda i: False,
    "number >= 0": lambda i: True,
}
FLAT = IndexSpec(Kind.FLAT, Codec.F32)
SPECS = {
    "flat f32": FLAT,
    "flat sq8": IndexSpec(Kind.FLAT, Codec.SQ8),
    "ivf f32": IndexSpec(Kind.IVF, Codec.F32, nlist=12, nprobe=12),
    "ivf sq8": IndexSpec(Kind.IVF, Codec.SQ8, nlist=12, nprobe=12),
}


@pytest.fixture(scope="module", params=SPECS)
def grown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Index:
    """Return an index of several segments: 600 documents, 200 added, 100 of them replaced, 90 deleted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "IVF_MINIMUM", 150)
        folder = tmp_path_factory.mktemp("grown") / "index"
        index = Index.build(folder, make_documents(600), encoder=tiny_encoder, spec=SPECS[request.param])
        index.merge_policy = MergePolicy(small_segment_rows=256)
        index.add(make_documents(200, seed=1, first=600))
        index.add(make_documents(200, seed=2, first=500))
        index.delete([f"d{i:05d}" for i in range(30, 750, 8)])
    segments = index.info().segments
    assert len(segments) > 1
    assert {segment["kind"] for segment in segments} == {request.param.split()[0]}
    return index


@pytest.fixture(scope="module")
def coverage(grown: Index) -> dict[str, dict[str, float]]:
    """Return the coverage of every document for each query; test_explaining compares it with brute force."""
    found = {query: grown.search(query, 2000, mode="lexical", explain=True) for query in QUERIES}
    return {query: {hit.doc_id: hit.explanation.coverage for hit in hits} for query, hits in found.items()}


@pytest.fixture
def through_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search the few rows of a filter through the codes, as if they were many."""
    monkeypatch.setattr(search_module, "EXACT_ROWS", 0)
    monkeypatch.setattr(search_module, "MAX_ROWS_IN_QUERY", 0)


@pytest.fixture(scope="module")
def passages(grown: Index, tiny_encoder: Encoder) -> Passages:
    """Return the documents that `grown` must hold."""
    return read_passages(grown.folder, tiny_encoder)


def get_number(doc_id: str) -> int:
    return int(doc_id[1:])


@pytest.mark.parametrize("k", KS)
def test_dense_search_equals_brute_force(grown: Index, passages: Passages, tiny_encoder: Encoder, k: int) -> None:
    assert len(passages) == len(grown) == 710
    for query, vector in zip(QUERIES, tiny_encoder.encode(QUERIES), strict=True):
        assert_best(grown.search(query, k, mode="dense"), compute_dense_scores(passages, vector), k)


@pytest.mark.parametrize("where", FILTERS)
def test_filtered_dense_search_equals_brute_force(
    grown: Index, passages: Passages, tiny_encoder: Encoder, where: str
) -> None:
    check_filtered_dense(grown, passages, tiny_encoder, where)


@pytest.mark.usefixtures("through_the_codes")
@pytest.mark.parametrize("where", FILTERS)
def test_filtered_dense_search_through_the_codes_equals_brute_force(
    grown: Index, passages: Passages, tiny_encoder: Encoder, where: str
) -> None:
    check_filtered_dense(grown, passages, tiny_encoder, where)


def check_filtered_dense(index: Index, passages: Passages, encoder: Encoder, where: str) -> None:
    for query, vector in zip(QUERIES, encoder.encode(QUERIES), strict=True):
        scores = {i: s for i, s in compute_dense_scores(passages, vector).items() if FILTERS[where](get_number(i))}
        for k in (1, 10, 400) if query == QUERIES[0] else (10,):
            assert_best(index.search(query, k, mode="dense", where=where), scores, k)


@pytest.mark.parametrize("where", [None, *FILTERS])
@pytest.mark.parametrize("paths", ["few rows", "many rows"])
def test_lexical_search_finds_every_document_that_shares_a_word(
    grown: Index, where: str | None, paths: str, request: pytest.FixtureRequest
) -> None:
    if paths == "many rows":
        request.getfixturevalue("through_the_codes")
    everything = {hit.doc_id: hit.text for hit in grown.search("cat", 5000, mode="dense")}
    passes = FILTERS[where] if where else lambda i: True
    for query in ("cat dog", "queen", "the old moon"):
        words = set(query.split()) - {"the"}
        sharing = {i for i, text in everything.items() if words & set(text.split()) and passes(get_number(i))}
        ranking = grown.search(query, 5000, mode="lexical", where=where)
        assert {hit.doc_id for hit in ranking} == sharing
        assert len(ranking) == len(sharing)
        unfiltered = grown.search(query, 5000, mode="lexical")
        assert ranking == [hit for hit in unfiltered if passes(get_number(hit.doc_id))]
        assert ranking == sorted(ranking, key=lambda hit: (-hit.score, hit.doc_id))
        for k in (1, 10, 60):
            assert grown.search(query, k, mode="lexical", where=where) == ranking[:k]


def test_a_query_of_only_stop_words_finds_them(grown: Index) -> None:
    hits = grown.search("the of", 1000, mode="lexical")
    everything = grown.search("cat", 5000, mode="dense")
    assert {hit.doc_id for hit in hits} == {h.doc_id for h in everything if {"the", "of"} & set(h.text.split())}


@pytest.mark.parametrize("where", [None, "half = 0", "hundredth = 7"])
@pytest.mark.parametrize("k", [1, 10, 100, 150])
def test_hybrid_is_the_weighted_sum_of_both_rankings(
    grown: Index, coverage: dict[str, dict[str, float]], where: str | None, k: int
) -> None:
    depth = max(30, k)
    for query in QUERIES:
        rankings = [grown.search(query, 2000, mode=mode, where=where) for mode in ("dense", "lexical")]
        if not rankings[0]:
            assert grown.search(query, k, where=where) == []
            continue
        expected = compute_hybrid_scores(*rankings, coverage[query], depth)
        found = {hit.doc_id: hit.score for hit in grown.search(query, k, where=where)}
        assert len(found) == min(k, len(expected))
        assert found == pytest.approx({doc_id: expected[doc_id] for doc_id in found}, abs=TOLERANCE)
        assert list(found) == sorted(found, key=lambda doc_id: (-found[doc_id], doc_id))
        worst = min(found.values())
        assert all(score < worst + TOLERANCE for doc_id, score in expected.items() if doc_id not in found)


def test_a_document_far_down_one_ranking_gets_that_score_too(tmp_path: Path, tiny_encoder: Encoder) -> None:
    """The word is so common that BM25 cannot tell its documents apart, and a list of 30 holds few of them."""
    documents = [Document(str(number), f"cat {WORDS[number % len(WORDS)]} {number}") for number in range(400)]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        dense = {hit.doc_id: hit.score for hit in index.search("cat sun", 400, mode="dense")}
        lexical = {hit.doc_id: hit.score for hit in index.search("cat sun", 400, mode="lexical")}
        first = next(doc_id for doc_id in dense if doc_id not in list(lexical)[:30])
        hits = {hit.doc_id: hit.score for hit in index.search("cat sun", 200)}
    coverage = compute_coverage("cat sun", {document.doc_id: document.text for document in documents})
    words = 0.25 * coverage[first] + 0.1 * lexical[first] / max(lexical.values())
    assert hits[first] == pytest.approx(0.65 * dense[first] + words, abs=1e-4)


def test_hybrid_scores_equal_hand_arithmetic(tmp_path: Path, tiny_encoder: Encoder) -> None:
    documents = [Document("a", "cat dog"), Document("b", "cat cat dog"), Document("c", "sun moon snow")]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        dense = {hit.doc_id: hit.score for hit in index.search("cat dog", mode="dense")}
        lexical = {hit.doc_id: hit.score for hit in index.search("cat dog", mode="lexical")}
        hits = {hit.doc_id: hit.score for hit in index.search("cat dog")}
    assert sorted(lexical) == ["a", "b"]
    assert lexical["b"] > lexical["a"]  # this document holds cat twice
    assert hits["c"] == pytest.approx(0.65 * dense["c"])
    assert hits["b"] == pytest.approx(0.65 * dense["b"] + 0.25 + 0.1)
    assert hits["a"] == pytest.approx(0.65 * dense["a"] + 0.25 + 0.1 * lexical["a"] / lexical["b"])


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_a_list_of_queries_gives_the_hits_of_each_query(grown: Index, mode: str) -> None:
    for where in (None, "tenth >= 8"):
        together = grown.search(QUERIES, 12, mode=mode, where=where)
        for query, hits in zip(QUERIES, together, strict=True):
            alone = grown.search(query, 12, mode=mode, where=where)
            assert [(hit.doc_id, hit.passage) for hit in hits] == [(hit.doc_id, hit.passage) for hit in alone]
            np.testing.assert_allclose([h.score for h in hits], [h.score for h in alone], atol=TOLERANCE)
    assert grown.search([], 3, mode=mode) == []
    assert grown.search([QUERIES[0]], 3, mode=mode) == [grown.search(QUERIES[0], 3, mode=mode)]
    assert grown.search(tuple(QUERIES), 12, mode=mode) == grown.search(QUERIES, 12, mode=mode)


@pytest.mark.slow
@pytest.mark.usefixtures("through_the_codes")
@pytest.mark.parametrize("codec", [Codec.SQ8, Codec.PQ, Codec.RABITQ])
def test_k_hits_are_returned_even_with_nprobe_1(
    tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, codec: Codec
) -> None:
    monkeypatch.setattr(auto, "IVF_MINIMUM", 150)
    spec = IndexSpec(Kind.IVF, codec, nlist=15, nprobe=1, rescore=1)
    with Index.build(tmp_path / "index", make_documents(600), encoder=tiny_encoder, spec=spec) as index:
        assert index.info().segments[0]["nprobe"] == 1
        passages = read_passages(index.folder, tiny_encoder)
        for query, vector in zip(QUERIES[:2], tiny_encoder.encode(QUERIES[:2]), strict=True):
            scores = compute_dense_scores(passages, vector)
            for where, passes in {None: lambda i: True, **FILTERS}.items():
                matching = {f"d{i:05d}" for i in range(600) if passes(i)}
                for k in (1, 7, 100, 599, 600, 601):
                    hits = index.search(query, k, mode="dense", where=where)
                    assert len(hits) == min(k, len(matching))
                    assert {hit.doc_id for hit in hits} <= matching
                    assert len({hit.doc_id for hit in hits}) == len(hits)
                    assert all(abs(hit.score - scores[hit.doc_id]) < TOLERANCE for hit in hits)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Iterator[Index]:
    """Return an index of 300 documents with one text, in random order and two segments, among 200 others."""
    order = np.random.default_rng(5).permutation(300)
    same = [Document(f"same{i:03d}", "cat dog bird fish", metadata={"number": int(i)}) for i in order]
    folder = tmp_path_factory.mktemp("twins") / "index"
    with Index.build(folder, same[:170] + make_documents(200), encoder=tiny_encoder) as index:
        index.add(same[170:])
        yield index


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("k", [1, 10, 49, 170, 299, 300])
def test_equal_scores_are_ordered_by_doc_id(twins: Index, mode: str, k: int) -> None:
    hits = twins.search("cat dog bird fish", k, mode=mode)
    assert [hit.doc_id for hit in hits] == [f"same{i:03d}" for i in range(k)]
    if mode != "hybrid":
        assert len({hit.score for hit in hits}) == 1


@pytest.mark.parametrize("mode", ["dense", "lexical"])
@pytest.mark.parametrize("paths", ["few rows", "many rows"])
def test_equal_scores_behind_a_filter_are_ordered_by_doc_id(
    twins: Index, mode: str, paths: str, request: pytest.FixtureRequest
) -> None:
    if paths == "many rows":
        request.getfixturevalue("through_the_codes")
    for k in (1, 10, 99):
        hits = twins.search("cat dog bird fish", k, mode=mode, where="number >= 200")
        assert [hit.doc_id for hit in hits] == [f"same{i}" for i in range(200, 200 + k)]


def test_a_fully_scanned_small_segment_does_not_decide_a_tie_in_a_large_one(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    order = np.random.default_rng(6).permutation(300)
    same = [Document(f"same{i:03d}", "cat dog bird fish") for i in order]
    policy = MergePolicy(small_segment_rows=256)
    documents = same + make_documents(200)
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder, merge_policy=policy) as index:
        index.add(make_documents(100, seed=9, first=900))
        index.add(make_documents(5, seed=9, first=1900))
        info = index.info()
        assert ([segment["rows"] for segment in info.segments], info.n_buffered) == ([500, 100], 5)
        hits = index.search("cat dog bird fish", 10, mode="dense")
    assert [hit.doc_id for hit in hits] == [f"same{i:03d}" for i in range(10)]


def test_ann_recall_selects_another_operating_point(
    tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    points: list[OperatingPoint | None] = []
    nearest = Segment.nearest

    def record_point(self: Segment, *args: Any, **options: Any) -> Any:
        points.append(options["point"])
        return nearest(self, *args, **options)

    monkeypatch.setattr(Segment, "nearest", record_point)
    monkeypatch.setattr(auto, "IVF_MINIMUM", 150)
    spec = IndexSpec(Kind.IVF, Codec.PQ, nlist=12, nprobe=3, rescore=2)
    Index.build(tmp_path / "index", make_documents(600), encoder=tiny_encoder, spec=spec).close()
    state = open_snapshot(tmp_path / "index")
    encode = tiny_encoder.encode_queries, tiny_encoder.encode, tiny_encoder.known_words
    quick, thorough = OperatingPoint(1, 1, 0.6, 0.5, 0.01), OperatingPoint(12, 50, 1.0, 0.99, 0.1)
    measured = OperatingPoints((quick, thorough), recall_target=0.5, is_met=True, n_queries=100)
    state.segments[0].operating_points = measured
    for recall, point in [(None, None), (0.5, quick), (0.9, thorough), (1.0, thorough)]:
        points.clear()
        (hits,) = search_module.search(state, ["cat dog"], *encode, k=10, mode=Mode.DENSE, ann_recall=recall)
        assert len(hits) == 10
        assert set(points) == {point}


@pytest.fixture(scope="module")
def long_documents(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Iterator[Index]:
    """Return an index of documents with 1 to 60 passages."""
    rng = np.random.default_rng(3)
    documents = []
    for i in range(60):
        sentences = [" ".join(rng.choice(WORDS, rng.integers(4, 15))) + "." for _ in range(1 + i)]
        documents.append(Document(f"d{i:05d}", " ".join(sentences), title=f"book {i}" if i % 3 else ""))
    folder = tmp_path_factory.mktemp("long") / "index"
    with Index.build(folder, documents, encoder=tiny_encoder, spec=FLAT) as index:
        assert index.report is not None
        assert index.report.n_passages > 1000
        yield index


@pytest.mark.parametrize("k", [1, 5, 30, 60, 61])
def test_a_document_is_found_once_by_its_best_passage(long_documents: Index, tiny_encoder: Encoder, k: int) -> None:
    passages = read_passages(long_documents.folder, tiny_encoder)
    for query, vector in zip(QUERIES, tiny_encoder.encode(QUERIES), strict=True):
        scores = compute_dense_scores(passages, vector)
        hits = long_documents.search(query, k, mode="dense")
        assert_best(hits, scores, k)
        for hit in hits:
            assert hit.passage in hit.text
            shown = float(passages[hit.doc_id, hit.passage] @ vector.astype(np.float64))
            assert shown == pytest.approx(scores[hit.doc_id], abs=TOLERANCE)


def test_lexical_hits_show_a_passage_that_holds_a_word_of_the_query(long_documents: Index) -> None:
    for word in ("queen", "peace", "gold"):
        hits = long_documents.search(word, 60, mode="lexical")
        assert hits
        for hit in hits:
            assert word in hit.passage.replace(".", "").split()
            assert [hit.passage[start:end] for start, end in hit.highlights] == [word] * len(hit.highlights)


def test_highlights_are_the_words_of_the_query_in_the_passage(tmp_path: Path, tiny_encoder: Encoder) -> None:
    text = "ü 😀 Houses, a House; the dog — DOGS. " * 10
    with Index.build(tmp_path / "index", [Document("a", text)], encoder=tiny_encoder) as index:
        assert index.info().n_passages > 1
        (hit,) = index.search("the houses of a dog", mode="lexical")
    expected = [match.span() for match in re.finditer("Houses?|dog|DOGS", hit.passage)]
    assert list(hit.highlights) == expected
    assert len(expected) > 1


def test_a_hit_holds_the_document_as_it_was_added(tmp_path: Path, tiny_encoder: Encoder) -> None:
    metadata = {"year": 1999, "tags": ["a", "ü"], "nested": {"x": None, "y": [1.5, True]}, "": ""}
    document = Document("ид 😀\n", " line one\r\n\r\nline\ttwo\x00 é ", "T\u2028 ", metadata, "corpus.jsonl:17")
    with Index.build(tmp_path / "index", [document], encoder=tiny_encoder) as index:
        (hit,) = index.search("line two")
    assert (hit.doc_id, hit.text, hit.title, hit.metadata) == (document.doc_id, document.text, "T\u2028 ", metadata)
    assert hit.passage in hit.text


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_a_title_is_searched_with_its_text(tmp_path: Path, tiny_encoder: Encoder, mode: str) -> None:
    documents = [Document("a", "cat sleeps", "queen"), Document("b", "cat sleeps", "iron")]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        assert index.search("queen", 1, mode=mode)[0].doc_id == "a"
        assert index.search("iron", 1, mode=mode)[0].doc_id == "b"


WRONG = {
    "k of 0": ({"query": "cat", "k": 0}, QueryError, "k: expected at least 1, got 0"),
    "negative k": ({"query": "cat", "k": -5}, QueryError, "k: expected at least 1, got -5"),
    "k is no number": ({"query": "cat", "k": "10"}, QueryError, "k: expected an integer, got '10'"),
    "k is no whole number": ({"query": "cat", "k": 2.5}, QueryError, "k: expected an integer, got 2.5"),
    "empty": ({"query": ""}, QueryError, "query 1: expected text that is not blank, got ''"),
    "blank": ({"query": ["cat", " \n\t"]}, QueryError, "query 2: expected text that is not blank"),
    "no string": ({"query": ["cat", 7]}, QueryError, "query 2: expected text that is not blank, got 7"),
    "an unpaired surrogate": ({"query": "caf\udce9"}, QueryError, "query 1: expected Unicode text"),
    "mode": ({"query": "cat", "mode": "sparse"}, QueryError, "mode: expected hybrid, dense, lexical, got 'sparse'"),
    "filter": ({"query": "cat", "where": "half ="}, FilterError, "where: character 7"),
    "empty filter": ({"query": "cat", "where": ""}, FilterError, "where: character 1"),
    "unknown field": ({"query": "cat", "where": "year = 1"}, FilterError, "no document has a field 'year'"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_invalid_query_is_an_error_that_names_the_reason(twins: Index, wrong: str) -> None:
    arguments, kind, message = WRONG[wrong]
    for mode in ("dense", "lexical", "hybrid"):
        with pytest.raises(kind) as caught:
            twins.search(**{"mode": mode, **arguments})
        assert message in str(caught.value)


@pytest.mark.parametrize("k", [np.int64(3), True])
def test_k_may_be_any_integer_type(twins: Index, k: int) -> None:
    assert len(twins.search("cat", k)) == int(k)


def test_a_huge_k_gives_all_documents(twins: Index) -> None:
    assert len(twins.search("cat", 10**12)) == len(twins) == 500
    assert len(twins.search("cat", np.int64(2**62), mode="dense")) == 500


@pytest.mark.parametrize("query", ["\u200b", "?!", "😀", "\x00", "a" * 5000, "cat AND (dog OR", 'body:"cat" -dog ^2~'])
def test_a_query_without_known_terms_is_answered_by_dense_search(twins: Index, query: str) -> None:
    assert len(twins.search(query, 7)) == 7
    assert all(-1 <= hit.score <= 1 for hit in twins.search(query, 7, mode="dense"))


def test_evicted_filters_are_evaluated_again(twins: Index) -> None:
    for number in range(MAX_CACHED_FILTERS + 3):
        (hit,) = twins.search("cat dog", 5, where=f"number = {299 - number} and not half = 0 and not half = 1")
        assert hit.doc_id == f"same{299 - number:03d}"


def make_hit(doc_id: str, score: float) -> Hit:
    return Hit(doc_id, score, "", "", "")


def test_the_oracle_rejects_a_wrong_answer() -> None:
    """`assert_best` rejects a worse document, a wrong score and ties in the wrong order."""
    scores = {"a": 0.5, "b": 0.5, "c": 0.4}
    assert_best([make_hit("a", 0.5), make_hit("b", 0.5)], scores, 2)
    for wrong in (["b", "a"], ["a", "c"], ["a"]):
        with pytest.raises(AssertionError):
            assert_best([make_hit(doc_id, scores[doc_id]) for doc_id in wrong], scores, 2)
    with pytest.raises(AssertionError):
        assert_best([make_hit("b", 0.5)], scores, 1)
    with pytest.raises(AssertionError):
        assert_best([make_hit("a", 0.49), make_hit("b", 0.5)], scores, 2)
