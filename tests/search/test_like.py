"""Documents like one of the index, and the smallest score, against brute force."""

from collections.abc import Iterator

import numpy as np
import pytest
from brute_force import TOLERANCE, assert_best, compute_dense_scores, make_documents, read_passages

from hpdsearch import Document
from hpdsearch.encoder import Encoder
from hpdsearch.errors import QueryError
from hpdsearch.index import Index

LONG = Document("7", " ".join(["the cat sings to the moon."] * 5 + ["a king of stone and iron runs."] * 5))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Iterator[Index]:
    """Return an index of one document of several passages, 80 short ones, and 5 that are buffered."""
    folder = tmp_path_factory.mktemp("like") / "index"
    with Index.build(folder, [LONG, *make_documents(80)], encoder=tiny_encoder) as made:
        made.add(make_documents(5, first=80))
        assert made.info().n_passages > len(made)
        yield made


@pytest.mark.parametrize("doc_id", ["7", "d00003", "d00082"])
@pytest.mark.parametrize("k", [1, 10, 500])
def test_documents_like_one_are_those_of_brute_force(index: Index, tiny_encoder: Encoder, doc_id: str, k: int) -> None:
    passages = read_passages(index.folder, tiny_encoder)
    mean = np.mean([vector for (owner, _), vector in passages.items() if owner == doc_id], axis=0)
    scores = compute_dense_scores(passages, mean / np.linalg.norm(mean))
    del scores[doc_id]
    assert_best(index.like(doc_id, k), scores, k)
    hits = index.like(doc_id, k, where="half = 0")
    assert_best(hits, {key: score for key, score in scores.items() if key != "7" and int(key[1:]) % 2 == 0}, k)
    assert all(not hit.highlights and hit.explanation is None for hit in hits)


def test_an_integer_names_a_document_and_an_unknown_one_is_an_error(index: Index) -> None:
    assert index.like(7, 3) == index.like("7", 3)
    for unknown in ("d9", 8, "\udcff"):
        with pytest.raises(QueryError, match=r"doc_id '.+' is not in the index"):
            index.like(unknown)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_hits_below_the_smallest_score_are_left_out(index: Index, mode: str) -> None:
    everything = index.search("cat dog", 40, mode=mode)
    limit = everything[3].score
    expected = [hit for hit in everything if hit.score >= limit]
    assert index.search("cat dog", 40, mode=mode, min_score=limit) == expected
    assert index.search("cat dog", 2, mode=mode, min_score=limit) == everything[:2]
    assert index.search("cat dog", 40, mode=mode, min_score=1e6) == []
    assert index.search("cat dog", 40, mode=mode, min_score=-1e6) == everything


def test_the_smallest_score_holds_for_like_too(index: Index) -> None:
    everything = index.like("7", 40)
    found = index.like("7", 40, min_score=everything[5].score)
    assert found == [hit for hit in everything if hit.score >= everything[5].score]
    assert abs(found[-1].score - everything[5].score) < TOLERANCE


@pytest.mark.parametrize("wrong", [float("nan"), "0.5", [1]])
def test_a_smallest_score_that_is_no_number_is_an_error(index: Index, wrong: float) -> None:
    with pytest.raises(QueryError, match="min_score: expected a number"):
        index.search("cat", min_score=wrong)
    with pytest.raises(QueryError, match="min_score: expected a number"):
        index.like("7", min_score=wrong)
