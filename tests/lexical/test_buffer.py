"""Buffered passages get the scores that they would get in the folder."""

import math
import random

import numpy as np
import pytest
from lexical_folders import WORDS, write_folder

from hpdsearch.lexical import (
    LexicalReader,
    LexicalWriter,
)


def long_passages(n, seed):
    """Return passages of 1 to 400 words; Tantivy stores their lengths in one byte."""
    rng = random.Random(seed)
    return [rng.choices(WORDS, k=int(math.exp(rng.uniform(0, 6)))) for _ in range(n)]


def test_buffered_rows_score_as_they_would_in_the_folder(tmp_path):
    passages = long_passages(300, 11)
    pairs = [("", " ".join(passage)) for passage in passages]
    committed = LexicalReader(write_folder(tmp_path / "l", pairs))
    # The same passages once more, buffered: their statistics are those of the folder, so their scores must be equal.
    both = LexicalReader(tmp_path / "l", [(1000 + row, *pair) for row, pair in enumerate(pairs)])
    assert both.n_rows == 600
    for query in ("kon", "plun rix", "kon kon tar", " ".join(WORDS), "kon unknown"):
        rows, scores = committed.search(query, 300)
        expected = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        expected |= {1000 + row: score for row, score in expected.items()}
        found, found_scores = both.search(query, 600)
        assert dict(zip(found.tolist(), found_scores.tolist(), strict=True)) == pytest.approx(expected, abs=2e-4)
        assert len(found) == len(expected)
        assert (np.diff(found_scores) <= 0).all()
        for n in (1, 10, 333):
            few, few_scores = both.search(query, n)
            np.testing.assert_array_equal(few_scores, found_scores[:n])
            assert len(set(few.tolist())) == min(n, len(found))


def test_buffered_rows_are_found_by_new_terms_by_title_and_in_filtered_search(folder):
    buffered = [(500, "Harbour", "kon"), (501, "", "the harbours of kon"), (502, "", "zuk")]
    reader = LexicalReader(folder, buffered)
    assert sorted(reader.search("harbour", 9)[0].tolist()) == [500, 501]
    assert reader.search("harbour", 9, only=[0, 3, 501, 502])[0].tolist() == [501]
    assert reader.search("harbour", 1)[0].tolist() == [500]  # the shorter passage
    assert reader.search("nothing", 9)[0].tolist() == []
    assert set(reader.all_rows().tolist()) == {*range(150), 500, 501, 502}
    assert reader.n_rows == 153
    rows, _ = LexicalReader(folder).search("kon", 999)
    assert set(reader.search("kon", 999)[0].tolist()) == {*rows.tolist(), 500, 501}


def test_buffered_rows_of_an_otherwise_empty_folder_are_found(tmp_path):
    reader = LexicalReader(write_folder(tmp_path / "l", []), [(7, "", "kon tar"), (8, "", "kon tar rix pod")])
    assert reader.search("tar", 9)[0].tolist() == [7, 8]
    assert reader.search("rix", 9)[0].tolist() == [8]


def test_statistics_count_removed_rows_until_a_merge_as_tantivy_does(tmp_path):
    pairs = [("", " ".join(passage)) for passage in long_passages(80, 5)]
    path = write_folder(tmp_path / "l", pairs, commits=2)
    writer = LexicalWriter(path)
    writer.remove(range(0, 80, 3))
    writer.commit()
    writer.close()
    reader = LexicalReader(path, [(100 + row, *pair) for row, pair in enumerate(pairs)])
    rows, scores = reader.search("kon plun", 999)
    by_row = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    again = [row for row in by_row if row < 100]
    assert len(again) > 40
    assert [by_row[row + 100] for row in again] == pytest.approx([by_row[row] for row in again], abs=2e-4)
