"""Explanations against an own BM25, brute force over sentences, and the scores of the hits."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from brute_force import TOLERANCE, compute_coverage, make_documents
from tiny_encoder import WORDS

from hpdsearch import Document, Explanation, Hit
from hpdsearch.corpus.passages import split_sentences
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.lexical import query_stems

QUERIES = ["cat dog", "the queen of the river", "old green war peace moon stone cat", "zzz 42"]
ROUNDED = 2e-4  # of a BM25 score: four decimals of float32


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Encoder) -> Iterator[Index]:
    """Return an index of 300 documents in its lexical folder and 20 in the buffer."""
    folder = tmp_path_factory.mktemp("explained") / "index"
    with Index.build(folder, make_documents(300), encoder=tiny_encoder) as made:
        made.add(make_documents(20, seed=3, first=300))
        yield made


def explanation_of(hit: Hit) -> Explanation:
    assert hit.explanation is not None
    return hit.explanation


def weigh_by_hand(query: str, text: str, corpus: list[str]) -> dict[str, float]:
    """Return each stem's part of BM25 (Robertson and Zaragoza 2009), k1 = 1.2, b = 0.75, from the texts alone."""
    tokens = [query_stems_of_document(each) for each in corpus]
    mean = sum(map(len, tokens)) / len(tokens)
    own = query_stems_of_document(text)
    parts = {}
    for stem in set(query_stems(query)) & set(own):
        n_matching = sum(stem in each for each in tokens)
        idf = math.log(1 + (len(tokens) - n_matching + 0.5) / (n_matching + 0.5))
        frequency = own.count(stem)
        norm = 1.2 * (0.25 + 0.75 * len(own) / mean)
        parts[stem] = query_stems(query).count(stem) * idf * 2.2 * frequency / (frequency + norm)
    return parts


def query_stems_of_document(text: str) -> list[str]:
    """Return all stems; single words keep their stop words."""
    return [stem for word in text.split() for stem in query_stems(word)]


@pytest.mark.parametrize("query", QUERIES)
def test_the_weights_of_words_are_those_of_an_own_bm25(index: Index, query: str) -> None:
    corpus = [document.text for document in make_documents(300)]
    for hit in index.search(query, 40, mode="lexical", explain=True):
        found = {query_stems(word.word)[0]: word.weight for word in explanation_of(hit).words}
        assert found == pytest.approx(weigh_by_hand(query, hit.text, corpus), rel=1e-4)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize("query", QUERIES)
def test_the_parts_make_the_score(index: Index, query: str, mode: str) -> None:
    dense = {hit.doc_id: (rank, hit.score) for rank, hit in enumerate(index.search(query, 320, mode="dense"), 1)}
    lexical = {hit.doc_id: (rank, hit.score) for rank, hit in enumerate(index.search(query, 320, mode="lexical"), 1)}
    plain = index.search(query, 12, mode=mode)
    hits = index.search(query, 12, mode=mode, explain=True)
    assert [(hit.doc_id, hit.score, hit.explanation) for hit in plain] == [(h.doc_id, h.score, None) for h in hits]
    for hit in hits:
        found = explanation_of(hit)
        rank, cosine = dense[hit.doc_id]
        assert found.dense_rank == (rank if rank <= 30 else None)
        assert found.cosine == pytest.approx(cosine, abs=TOLERANCE)
        lexical_rank, bm25 = lexical.get(hit.doc_id, (None, 0.0))
        assert found.lexical_rank == (lexical_rank if lexical_rank and lexical_rank <= 30 else None)
        assert found.bm25 == pytest.approx(bm25, abs=ROUNDED)
        assert sum(word.weight for word in found.words) == pytest.approx(found.bm25, abs=ROUNDED)
        assert [word.weight for word in found.words] == sorted((word.weight for word in found.words), reverse=True)
        share = found.bm25 / found.best_bm25 if found.best_bm25 else 0.0
        hybrid = 0.65 * found.cosine + 0.25 * found.coverage + 0.1 * share
        scores = {"dense": found.cosine, "lexical": found.bm25, "hybrid": hybrid}
        assert hit.score == pytest.approx(scores[mode], abs=ROUNDED)


@pytest.mark.parametrize("query", [*QUERIES, " ".join(WORDS), "cat zzz"])
def test_coverage_is_the_share_of_the_idf_that_brute_force_finds(index: Index, query: str) -> None:
    """WORDS has more stems than one query of the lexical index asks for."""
    everything = index.search("cat", 400, mode="dense")
    expected = compute_coverage(query, {hit.doc_id: hit.text for hit in everything})
    hits = index.search(query, 320, mode="dense", explain=True)
    assert {hit.doc_id: explanation_of(hit).coverage for hit in hits} == pytest.approx(expected)


def test_words_are_written_as_in_the_query(tmp_path: Path, tiny_encoder: Encoder) -> None:
    documents = [Document("a", "The house of a queen", title="Houses"), Document("b", "東京タワーの猫")]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        (hit,) = index.search("HOUSES, housing; Queens!", 1, mode="lexical", explain=True)
        assert [word.word for word in explanation_of(hit).words] == ["HOUSES", "Queens"]
        (hit,) = index.search("東京", 1, mode="lexical", explain=True)
        assert [word.word for word in explanation_of(hit).words] == ["東京"]


def test_the_nearest_sentence_is_that_of_brute_force(tmp_path: Path, tiny_encoder: Encoder) -> None:
    text = "The cat sings. A dog runs to the sea! Is the moon old? The queen of the river sleeps."
    with Index.build(tmp_path / "index", [Document("a", text)], encoder=tiny_encoder) as index:
        for query in ("dog sea", "queen", "old moon", "cat"):
            (hit,) = index.search(query, 1, explain=True)
            sentences = split_sentences(hit.passage)
            cosines = tiny_encoder.encode(sentences) @ tiny_encoder.encode([query])[0]
            found = explanation_of(hit)
            assert found.sentence == sentences[int(np.argmax(cosines))]
            assert found.sentence_cosine == pytest.approx(float(cosines.max()), abs=1e-5)


def test_a_search_without_hits_explains_none(index: Index) -> None:
    assert index.search("cat", 5, mode="lexical", where="number < 0", explain=True) == []
    assert index.search([], 5, explain=True) == []
