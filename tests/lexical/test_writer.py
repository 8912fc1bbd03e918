"""The lexical writer: commits, removals, and readers during both."""

import numpy as np
from lexical_folders import write_folder

from hpdsearch.lexical import (
    LexicalReader,
    LexicalWriter,
)


def test_removed_rows_are_gone_after_the_commit(folder, tmp_path):
    pairs = [("", f"kon number{row}") for row in range(30)]
    path = write_folder(tmp_path / "l", pairs, commits=3)
    writer = LexicalWriter(path)
    writer.remove([3, 12, 29, 400])
    before = LexicalReader(path)
    writer.commit()
    after = LexicalReader(path)
    writer.close()
    assert before.n_rows == len(before.search("kon", 99)[0]) == 30
    assert after.all_rows().tolist() == [row for row in range(30) if row not in (3, 12, 29)]
    assert set(after.search("kon", 99)[0].tolist()) == set(after.all_rows().tolist())
    assert after.search("number12", 99)[0].tolist() == []
    assert LexicalReader(path).n_rows == 27


def test_many_rows_are_removed_in_one_call(tmp_path):
    path = write_folder(tmp_path / "l", [("", "kon")] * 25_000)
    writer = LexicalWriter(path)
    writer.remove(range(0, 25_000, 2))
    writer.remove([])
    writer.commit()
    writer.close()
    np.testing.assert_array_equal(LexicalReader(path).all_rows(), np.arange(1, 25_000, 2))


def test_remove_from_removes_that_row_and_all_above(tmp_path):
    path = write_folder(tmp_path / "l", [("", "kon")] * 10, commits=2)
    writer = LexicalWriter(path)
    writer.remove_from(10)
    writer.commit()
    assert LexicalReader(path).n_rows == 10
    writer.remove_from(4)
    writer.add(4, "", "kon again")  # the row is used again
    writer.commit()
    writer.close()
    assert LexicalReader(path).all_rows().tolist() == [0, 1, 2, 3, 4]
    assert LexicalReader(path).search("again", 9)[0].tolist() == [4]


def test_a_reader_sees_no_change_before_the_commit(tmp_path):
    path = write_folder(tmp_path / "l", [("", "kon")])
    writer = LexicalWriter(path)
    writer.add(1, "", "kon")
    writer.remove([0])
    writer.close()
    assert LexicalReader(path).all_rows().tolist() == [0]


def test_a_reader_keeps_its_snapshot_while_a_writer_commits_and_merges(tmp_path):
    path = write_folder(tmp_path / "l", [("", f"kon number{row}") for row in range(20)])
    reader = LexicalReader(path)
    expected = reader.search("kon number7", 99)
    writer = LexicalWriter(path)
    for step in range(9):  # so many segments that Tantivy merges them
        writer.add(100 + step, "", "kon kon kon")
        writer.remove([step])
        writer.commit()
    writer.close()
    np.testing.assert_array_equal(reader.search("kon number7", 99), expected)
    assert reader.all_rows().tolist() == list(range(20))
    assert LexicalReader(path).all_rows().tolist() == [*range(9, 20), *range(100, 109)]
