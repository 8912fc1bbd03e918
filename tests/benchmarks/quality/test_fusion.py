"""Test the fusion benchmark by hand, and against hpdsearch itself."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from brute_force import make_documents

from benchmarks.quality import distractors, fusion
from benchmarks.quality.both_scores import BEYOND, Candidates, score_candidates
from hpdsearch import Document, Index
from hpdsearch.encoder import Encoder

HAND = Candidates(
    ["a", "b", "c", "d"],
    np.array([0.9, 0.6, 0.5, 0.4]),
    np.array([0.0, 1.0, 8.0, 2.0]),
    np.array([0.0, 0.5, 1.0, 0.25]),
    np.array([0.0, 0.0, 0.0, 1.0]),
    np.array([0, 1, 2, BEYOND]),
    np.array([BEYOND, BEYOND, 0, 1]),
    10.0,
)
STORED = 5e-4  # an index stores float16


def test_methods_by_hand():
    methods = fusion.fusion_methods()
    assert fusion.rrf(10, 3, 0.25)(HAND) == pytest.approx([0.25 / 11, 0.25 / 12, 0.25 / 13 + 0.75 / 11, 0.75 / 12])
    assert fusion.rrf(10, 1, 0.5)(HAND).tolist()[1] == -np.inf
    plain = [0.72, 0.48 + 0.2 / 8, 0.4 + 0.2, 0.32 + 0.2 * 2 / 8]
    assert methods["cosine + BM25/best, dense 0.8, depth 30"](HAND) == pytest.approx(plain)
    assert methods[fusion.WITHOUT_COVERAGE](HAND) == pytest.approx([*plain[:3], plain[3] + 1])
    covered = [0.585, 0.39 + 0.125 + 0.1 / 8, 0.325 + 0.25 + 0.1, 0.26 + 0.0625 + 0.1 * 2 / 8 + 1]
    assert methods[fusion.CHOSEN](HAND) == pytest.approx(covered)
    possible = [0.72, 0.48 + 0.02, 0.4 + 0.16, 0.32 + 0.04]
    assert methods["cosine + BM25/possible, dense 0.8, depth 30"](HAND) == pytest.approx(possible)
    # d gets the cosine of the last dense hit, b BM25 0.
    assert methods[fusion.BEFORE](HAND) == pytest.approx([0.72, 0.48, 0.4 + 0.2, 0.4 + 0.2 * 2 / 8])
    assert fusion.min_max(30, 0.5)(HAND) == pytest.approx([0.5, 0.2 + 0.5 / 8, 0.1 + 0.5, 0.5 * 2 / 8])


def test_the_method_is_chosen_without_the_evaluated_collection():
    values = {fusion.USUAL: {"x": 9.0, "y": 1.0, "z": 1.0}, "rrf 10, depth 30": {"x": 0.0, "y": 4.0, "z": 4.0}}
    table = {
        name: {(each, mixture): value for each, value in found.items() for mixture in (fusion.ALONE, "10 texts")}
        for name, found in (values | {"dense": values[fusion.USUAL]}).items()
    }
    chosen = fusion.choose_without(table)["best of all, chosen without the collection"]
    assert {setting[0]: value for setting, value in chosen.items()} == {"x": 0.0, "y": 1.0, "z": 1.0}


@pytest.mark.parametrize("depth", [30, 100])
def test_candidates_are_ranked_as_an_index_ranks_them(tmp_path: Path, tiny_encoder: Encoder, depth: int):
    documents = {each.doc_id: each.text for each in [*make_documents(400), Document("code", "the cat has E1234-77")]}
    queries = {"q1": "cat dog", "q2": "old green war peace moon stone", "q3": "E1234-77 of the king", "q4": "zzz"}
    corpus = [Document(doc_id, text) for doc_id, text in documents.items()]
    encode = tiny_encoder.encode_queries, tiny_encoder.encode, tiny_encoder.known_words
    with Index.build(tmp_path / "index", corpus, encoder=tiny_encoder) as index:
        for query_id, found in score_candidates(documents, queries, *encode, depth=depth):
            hits = {hit.doc_id: hit.score for hit in index.search(queries[query_id], depth)}
            ranking = found.rank_hybrid()[:depth]
            assert sorted(ranking, key=lambda pair: (-pair[1], pair[0])) == ranking
            assert dict(ranking) == pytest.approx(hits, abs=STORED)
            name = fusion.CHOSEN.replace("depth 30", f"depth {depth}")
            scores = dict(zip(found.doc_ids, fusion.fusion_methods()[name](found), strict=True))
            assert {doc_id: scores[doc_id] for doc_id in hits} == pytest.approx(hits, abs=STORED)
            assert max(found.bm25, default=0) <= found.possible_bm25 + 1e-4


def test_distractors_hold_no_judged_document_and_grow_by_size(tmp_path: Path):
    class OneDocument:
        def documents(self):
            yield "1", "A judged TEXT, number 7."

    lines = [f"a short text, number {number}" for number in range(40)] + ["a judged text number 7", "x" * 400, "tiny"]
    path = tmp_path / "texts.txt.gz"
    path.write_bytes(gzip.compress("\n".join(lines * 2).encode()))
    few, many = (distractors.sample_distractors([path], [OneDocument()], {"short texts": n}) for n in (10, 40))
    assert few["short texts"] == many["short texts"][:10]
    assert sorted(many["short texts"]) == sorted(lines[:40])
    assert distractors.sample_distractors([path], [], {"passages": 1}) == {"passages": ["x" * 400]}
    with pytest.raises(SystemExit, match="expected 41 different short texts, got 40"):
        distractors.sample_distractors([path], [OneDocument()], {"short texts": 41})
