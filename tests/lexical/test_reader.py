"""The lexical reader: BM25 against a plain computation, any characters as a query, opening again."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lexical_folders import WORDS, write_folder

from hpdsearch.lexical import (
    LexicalReader,
    LexicalWriter,
    find_spans,
    query_stems,
    remove_lexical_folder,
)


def bm25(query, passages):
    """Return Okapi BM25 as in Lucene, over lists of words: the scores by row of the rows that share a word."""
    n, average = len(passages), sum(map(len, passages)) / len(passages)
    scores = {}
    for word, times in Counter(query).items():
        df = sum(word in passage for passage in passages)
        idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
        for row, passage in enumerate(passages):
            if tf := passage.count(word):
                norm = 1.2 * (0.25 + 0.75 * len(passage) / average)
                scores[row] = scores.get(row, 0.0) + times * idf * tf * 2.2 / (tf + norm)
    return scores


QUERIES = [["kon"], ["plun"], ["rix", "kon"], ["rix", "rix", "kon"], WORDS, ["tar", "unknown"], ["pod"] * 3 + ["graf"]]


@pytest.mark.parametrize("query", QUERIES, ids=" ".join)
def test_scores_and_order_are_those_of_bm25(folder, corpus, query):
    assert all(query_stems(word) == [word] for word in WORDS)
    expected = bm25(query, [title + passage for title, passage in zip(*corpus, strict=True)])
    rows, scores = LexicalReader(folder).search(" ".join(query), 1000)
    assert set(rows.tolist()) == set(expected)
    assert len(rows) == len(expected)
    np.testing.assert_allclose(scores, [expected[row] for row in rows.tolist()], atol=1e-3)
    assert (np.diff(scores) <= 0).all()


def test_a_smaller_k_returns_the_best_rows(folder):
    reader = LexicalReader(folder)
    _, scores = reader.search("kon rix plun", 1000)
    for n in (1, 7, 149):
        few, best = reader.search("kon rix plun", n)
        np.testing.assert_array_equal(best, scores[:n])
        assert len(few) == n == len(set(few.tolist()))
    assert [len(part) for part in reader.search("kon", 0)] == [0, 0]


def test_segments_of_several_commits_score_as_one(folder, corpus, tmp_path):
    pairs = [(" ".join(title), " ".join(passage)) for title, passage in zip(*corpus, strict=True)]
    rows, scores = LexicalReader(write_folder(tmp_path / "l", pairs, commits=5)).search("kon rix plun", 1000)
    one_rows, one_scores = LexicalReader(folder).search("kon rix plun", 1000)
    by_row = dict(zip(one_rows.tolist(), one_scores.tolist(), strict=True))
    np.testing.assert_allclose(scores, [by_row[row] for row in rows.tolist()], atol=1e-5)


def test_only_keeps_the_scores_of_the_named_rows(folder):
    reader = LexicalReader(folder)
    rows, scores = reader.search("kon rix", 1000)
    by_row = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    only = list(range(0, 150, 7))
    found, found_scores = reader.search("kon rix", 1000, only=[*only, 5_000_000_000])
    assert set(found.tolist()) == set(only) & set(by_row)
    np.testing.assert_allclose(found_scores, [by_row[row] for row in found.tolist()], rtol=1e-6)
    assert len(reader.search("kon", 10, only=[])[0]) == 0


def test_title_and_text_are_both_searched_and_do_not_run_together(tmp_path):
    reader = LexicalReader(write_folder(tmp_path / "l", [("alpha", "beta"), ("", "alphabeta")]))
    assert reader.search("alpha", 10)[0].tolist() == reader.search("beta", 10)[0].tolist() == [0]
    assert reader.search("alphabeta", 10)[0].tolist() == [1]


def highlights(query, passage):
    return find_spans(frozenset(query_stems(query)), passage)


@settings(max_examples=200, deadline=None)
@given(st.text())
@example('kon AND (tar OR "vilm')
@example("body:kon +tar -vilm ^2 ~3 * ? [a TO b] row:5 \\")
@example("\x00\ud7ff\U0010ffff\u202e")
def test_any_characters_can_be_a_query(folder, text):
    rows, scores = LexicalReader(folder).search(text, 5)
    assert len(rows) == len(scores) <= 5
    for start, end in highlights(text, text):
        assert 0 <= start < end <= len(text)


def test_operators_are_searched_as_words(folder):
    reader = LexicalReader(folder)
    for query in ("kon -tar", "kon AND tar", '"kon tar"', "body:kon^9 tar", "(kon tar"):
        words, _ = reader.search(" ".join(word for word in WORDS[:2]), 1000)
        assert set(reader.search(query, 1000)[0].tolist()) == set(words.tolist()), query


def test_an_empty_index_answers_nothing(tmp_path):
    path = write_folder(tmp_path / "l", [])
    reader = LexicalReader(path)
    assert reader.n_rows == len(reader.all_rows()) == len(reader.search("kon", 5)[0]) == 0
    remove_lexical_folder(path)
    assert not path.exists()
    remove_lexical_folder(path)


def test_opening_again_reads_the_last_commit(tmp_path):
    path = write_folder(tmp_path / "l", [("", f"kon number{row}") for row in range(9)], commits=3)
    before = LexicalReader(path)
    same = LexicalReader(path, [(50, "", "kon")], before=before)
    assert sorted(same.search("kon", 99)[0].tolist()) == [*range(9), 50]
    writer = LexicalWriter(path)
    writer.add(50, "", "kon")
    writer.remove([2])
    writer.commit()
    writer.close()
    after = LexicalReader(path, before=same)
    assert sorted(after.search("kon", 99)[0].tolist()) == [0, 1, 3, 4, 5, 6, 7, 8, 50]
    assert sorted(same.search("kon", 99)[0].tolist()) == [*range(9), 50]
    assert sorted(before.search("kon", 99)[0].tolist()) == [*range(9)]
