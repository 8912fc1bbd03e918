import math
import random
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpdsearch.errors import CorruptIndexError
from hpdsearch.lexical import (
    LexicalReader,
    LexicalWriter,
    corrupt_files,
    find_spans,
    fits_in_buffer,
    query_stems,
    remove_lexical_folder,
)

WORDS = ["kon", "tar", "vilm", "pod", "graf", "zuk", "malp", "dorf", "rix", "plun"]  # no stop words, each its own stem


def written(folder, passages, *, commits=1):
    """A lexical folder of (title, passage) pairs in rows 0, 1, ..."""
    writer = LexicalWriter(folder)
    for part in np.array_split(np.arange(len(passages)), commits):
        for row in part.tolist():
            writer.add(row, *passages[row])
        writer.commit()
    writer.close()
    return folder


def bm25(query, passages):
    """Okapi BM25 as in Lucene, over lists of words; scores by row, only of those that share a word."""
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


@pytest.fixture(scope="module")
def corpus():
    rng = random.Random(7)
    frequencies = [1 / (i + 1) for i in range(len(WORDS))]
    lengths = [rng.randint(1, 36) for _ in range(150)]  # Tantivy keeps lengths below 40 words exactly
    passages = [rng.choices(WORDS, frequencies, k=length) for length in lengths]
    titles = [rng.choices(WORDS, k=rng.randint(0, 3)) for _ in passages]
    return titles, passages


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    pairs = [(" ".join(title), " ".join(passage)) for title, passage in zip(*corpus, strict=True)]
    return written(tmp_path_factory.mktemp("lexical") / "l", pairs)


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


def test_fewer_rows_are_the_best_ones(folder):
    reader = LexicalReader(folder)
    _, scores = reader.search("kon rix plun", 1000)
    for n in (1, 7, 149):
        few, best = reader.search("kon rix plun", n)
        np.testing.assert_array_equal(best, scores[:n])
        assert len(few) == n == len(set(few.tolist()))
    assert [len(part) for part in reader.search("kon", 0)] == [0, 0]


def test_segments_of_several_commits_score_as_one(folder, corpus, tmp_path):
    pairs = [(" ".join(title), " ".join(passage)) for title, passage in zip(*corpus, strict=True)]
    rows, scores = LexicalReader(written(tmp_path / "l", pairs, commits=5)).search("kon rix plun", 1000)
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


# ---- words


def test_words_are_found_by_their_stem_case_and_accents_aside(tmp_path):
    texts = ["Jumping FOXES", "naïve café", "the end", "Straße", "東京 tower", "x" * 300 + " giant", "don't stop"]
    reader = LexicalReader(written(tmp_path / "l", [("", text) for text in texts]))
    for query, rows in [
        ("jumped fox", [0]),
        ("NAIVE", [1]),
        ("cafés", [1]),
        ("strasse", [3]),
        ("東京", [4]),
        ("towers", [4]),
        ("giant", [5]),
        ("x" * 300, []),  # no word is so long
        ("stopping", [6]),
        ("ends", [2]),
        ("fo", []),
    ]:
        assert sorted(reader.search(query, 10)[0].tolist()) == rows, query


def test_stop_words_count_only_where_there_is_nothing_else(tmp_path):
    reader = LexicalReader(written(tmp_path / "l", [("", "the who"), ("", "the lake"), ("", "lake district")]))
    assert sorted(reader.search("the", 10)[0].tolist()) == [0, 1]
    assert sorted(reader.search("the lake", 10)[0].tolist()) == [1, 2]
    assert query_stems("the lakes of the north") == ["lake", "north"]
    assert query_stems("To be, or not to be?") == ["to", "be", "or", "not", "to", "be"]
    assert query_stems("?! -- ") == query_stems("") == []
    assert len(reader.search("?!", 10)[0]) == 0


def test_title_and_text_are_both_searched_and_do_not_run_together(tmp_path):
    reader = LexicalReader(written(tmp_path / "l", [("alpha", "beta"), ("", "alphabeta")]))
    assert reader.search("alpha", 10)[0].tolist() == reader.search("beta", 10)[0].tolist() == [0]
    assert reader.search("alphabeta", 10)[0].tolist() == [1]


def highlights(query, passage):
    return find_spans(frozenset(query_stems(query)), passage)


@settings(max_examples=200, deadline=None)
@given(st.text())
@example('kon AND (tar OR "vilm')
@example("body:kon +tar -vilm ^2 ~3 * ? [a TO b] row:5 \\")
@example("\x00\ud7ff\U0010ffff\u202e")
def test_any_characters_are_a_query(folder, text):
    rows, scores = LexicalReader(folder).search(text, 5)
    assert len(rows) == len(scores) <= 5
    for start, end in highlights(text, text):
        assert 0 <= start < end <= len(text)


def test_operators_are_words(folder):
    reader = LexicalReader(folder)
    for query in ("kon -tar", "kon AND tar", '"kon tar"', "body:kon^9 tar", "(kon tar"):
        words, _ = reader.search(" ".join(word for word in WORDS[:2]), 1000)
        assert set(reader.search(query, 1000)[0].tolist()) == set(words.tolist()), query


# ---- highlights

PIECES = ["😀", "𝒳 ", "e\u0301", " ", "\u0915\u094d\u0937 ", "🇩🇪 ", "ﬁ ", "İ ", "\r\n", "\x00", "ß-", "…", "\u200d"]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.lists(st.sampled_from(PIECES)).map("".join), st.sampled_from(["lake", "Lakes", "LAKE"]))))
def test_highlights_are_characters_not_bytes(parts):
    passage, expected = "", []
    for noise, word in parts:
        passage += noise + " "
        expected.append((len(passage), len(passage) + len(word)))
        passage += word + " "
    assert highlights("my lakes", passage) == tuple(expected)
    assert [passage[start:end].lower().rstrip("s") for start, end in expected] == ["lake"] * len(parts)


def test_highlights_by_hand():
    assert highlights("naive Café", "Ünder NAÏVE cafés, 𝒳 naïvely") == ((6, 11), (12, 17), (21, 28))
    assert highlights("the lake", "the lake of the lakes") == ((4, 8), (16, 21))
    assert highlights("the", "the lake") == ((0, 3),)
    assert find_spans({"lake", "café"}, "the lakes, cafe lake") == ((4, 9), (16, 20))
    assert highlights("lake", "") == highlights("", "lake") == highlights("sea", "lake") == ()


# ---- changes


def test_removed_rows_are_gone_after_the_commit(folder, tmp_path):
    pairs = [("", f"kon number{row}") for row in range(30)]
    path = written(tmp_path / "l", pairs, commits=3)
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


def test_many_rows_are_removed_at_once(tmp_path):
    path = written(tmp_path / "l", [("", "kon")] * 25_000)
    writer = LexicalWriter(path)
    writer.remove(range(0, 25_000, 2))
    writer.remove([])
    writer.commit()
    writer.close()
    np.testing.assert_array_equal(LexicalReader(path).all_rows(), np.arange(1, 25_000, 2))


def test_remove_from_removes_that_row_and_all_above(tmp_path):
    path = written(tmp_path / "l", [("", "kon")] * 10, commits=2)
    writer = LexicalWriter(path)
    writer.remove_from(10)
    writer.commit()
    assert LexicalReader(path).n_rows == 10
    writer.remove_from(4)
    writer.add(4, "", "kon again")  # given out once more
    writer.commit()
    writer.close()
    assert LexicalReader(path).all_rows().tolist() == [0, 1, 2, 3, 4]
    assert LexicalReader(path).search("again", 9)[0].tolist() == [4]


def test_nothing_is_in_force_before_the_commit(tmp_path):
    path = written(tmp_path / "l", [("", "kon")])
    writer = LexicalWriter(path)
    writer.add(1, "", "kon")
    writer.remove([0])
    writer.close()
    assert LexicalReader(path).all_rows().tolist() == [0]


def test_a_reader_keeps_its_state_while_a_writer_commits_and_merges(tmp_path):
    path = written(tmp_path / "l", [("", f"kon number{row}") for row in range(20)])
    reader = LexicalReader(path)
    expected = reader.search("kon number7", 99)
    writer = LexicalWriter(path)
    for step in range(9):  # enough segments to be merged
        writer.add(100 + step, "", "kon kon kon")
        writer.remove([step])
        writer.commit()
    writer.close()
    np.testing.assert_array_equal(reader.search("kon number7", 99), expected)
    assert reader.all_rows().tolist() == list(range(20))
    assert LexicalReader(path).all_rows().tolist() == [*range(9, 20), *range(100, 109)]


def test_an_empty_index_answers_nothing(tmp_path):
    path = written(tmp_path / "l", [])
    reader = LexicalReader(path)
    assert reader.n_rows == len(reader.all_rows()) == len(reader.search("kon", 5)[0]) == 0
    remove_lexical_folder(path)
    assert not path.exists()
    remove_lexical_folder(path)


# ---- rows that wait


def long_passages(n, seed):
    """Passages of 1 to 400 words, whose lengths Tantivy keeps in one byte."""
    rng = random.Random(seed)
    return [rng.choices(WORDS, k=int(math.exp(rng.uniform(0, 6)))) for _ in range(n)]


def test_waiting_rows_score_as_they_would_in_the_folder(tmp_path):
    passages = long_passages(300, 11)
    pairs = [("", " ".join(passage)) for passage in passages]
    committed = LexicalReader(written(tmp_path / "l", pairs))
    # The same passages once more, waiting: their statistics are those of the folder, so their scores must be equal.
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


def test_waiting_rows_are_found_by_new_words_titles_and_among_only_some(folder):
    waiting = [(500, "Harbour", "kon"), (501, "", "the harbours of kon"), (502, "", "zuk")]
    reader = LexicalReader(folder, waiting)
    assert sorted(reader.search("harbour", 9)[0].tolist()) == [500, 501]
    assert reader.search("harbour", 9, only=[0, 3, 501, 502])[0].tolist() == [501]
    assert reader.search("harbour", 1)[0].tolist() == [500]  # the shorter passage
    assert reader.search("nothing", 9)[0].tolist() == []
    assert set(reader.all_rows().tolist()) == {*range(150), 500, 501, 502}
    assert reader.n_rows == 153
    rows, _ = LexicalReader(folder).search("kon", 999)
    assert set(reader.search("kon", 999)[0].tolist()) == {*rows.tolist(), 500, 501}


def test_waiting_rows_beside_an_empty_folder_are_found(tmp_path):
    reader = LexicalReader(written(tmp_path / "l", []), [(7, "", "kon tar"), (8, "", "kon tar rix pod")])
    assert reader.search("tar", 9)[0].tolist() == [7, 8]
    assert reader.search("rix", 9)[0].tolist() == [8]


def test_statistics_count_what_was_removed_until_a_merge_as_tantivy_does(tmp_path):
    pairs = [("", " ".join(passage)) for passage in long_passages(80, 5)]
    path = written(tmp_path / "l", pairs, commits=2)
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


def test_few_rows_may_wait_and_never_more_than_give_them_their_weights():
    assert fits_in_buffer(64, 1000)
    assert not fits_in_buffer(65, 1000)
    assert fits_in_buffer(5, 5)
    assert not fits_in_buffer(6, 5)
    assert not fits_in_buffer(1, 0)


# ---- opening again


def test_opening_again_answers_from_what_is_committed_now(tmp_path):
    path = written(tmp_path / "l", [("", f"kon number{row}") for row in range(9)], commits=3)
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


def test_opening_again_checks_files_that_have_come_or_changed(tmp_path):
    path = written(tmp_path / "l", [("", f"kon number{row}") for row in range(9)], commits=2)
    before = LexicalReader(path)
    old = {file.name for file in path.iterdir()}
    writer = LexicalWriter(path)
    writer.add(9, "", "kon")
    writer.commit()
    writer.close()
    new = next(file for file in path.glob("*.idx") if file.name not in old)
    for file in (new, next(path / name for name in sorted(old) if name.endswith(".idx"))):
        data = file.read_bytes()
        file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        with pytest.raises(CorruptIndexError, match=str(file)):
            LexicalReader(path, before=before)
        file.write_bytes(data)
    assert LexicalReader(path, before=before).n_rows == 10


# ---- damage


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A folder after many commits, merges and removals."""
    path, rng = tmp_path_factory.mktemp("lexical") / "history", random.Random(3)
    n_rows = 0
    for _ in range(3):
        writer = LexicalWriter(path)
        for _ in range(5):
            added = rng.randint(1, 20)
            for row in range(n_rows, n_rows + added):
                writer.add(row, "title", f"kon tar number{row}")
            n_rows += added
            writer.remove(rng.sample(range(n_rows), 1))
            writer.commit()
        writer.add(n_rows, "", "not committed")
        writer.close()
    writer = LexicalWriter(path)
    writer.remove(range(n_rows - 5, n_rows))
    writer.commit()
    writer.close()
    return path


@pytest.fixture
def changed(history, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(history, tmp_path / "l")


def test_a_healthy_folder_has_no_altered_files(changed, folder):
    assert corrupt_files(changed) == corrupt_files(folder) == []


def test_a_flipped_bit_is_found_in_every_file_with_a_footer(changed):
    paths = [path for path in changed.iterdir() if path.suffix not in ("", ".json", ".lock")]
    assert {path.suffix for path in paths} >= {".term", ".idx", ".pos", ".fast", ".fieldnorm", ".store", ".del"}
    for path in paths:
        data = path.read_bytes()
        n = len(data) - 8 - int.from_bytes(data[-8:-4], "little")  # the body; then footer, its length, a magic number
        crc = data.index(b'"crc":') + len('"crc":')
        for position in {0, n // 3, n // 2, n - 1, crc, len(data) - 8, len(data) - 4}:
            damaged = bytearray(data)
            damaged[position] ^= 1
            path.write_bytes(damaged)
            assert corrupt_files(changed) == [path], f"{path.suffix} {position}"
        for length in (0, 7, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:length])
            assert corrupt_files(changed) == [path], f"{path.suffix} {length}"
        path.write_bytes(data)
    assert corrupt_files(changed) == []


def test_a_damaged_folder_raises_damaged_error_or_answers(changed):
    rng = random.Random(5)
    for path in sorted(path for path in changed.iterdir() if path.stat().st_size):
        data = path.read_bytes()
        copies = [data[: len(data) // 2], b""]
        for _ in range(8):
            damaged = bytearray(data)
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            copies.append(bytes(damaged))
        for copy in copies:
            path.write_bytes(copy)
            try:
                reader = LexicalReader(changed)
                reader.search("kon number7", 99, only=range(50))
                reader.all_rows()
            except CorruptIndexError as error:
                assert str(changed) in str(error)  # noqa: PT017 - a flipped bit may also do no harm
        path.write_bytes(data)


def test_a_missing_file_is_an_error_when_it_is_opened(folder, tmp_path):
    path = shutil.copytree(folder, tmp_path / "l")
    needed = [file for file in path.iterdir() if not file.name.startswith(".")]
    assert {file.suffix for file in needed} == {".json", ".term", ".idx", ".pos", ".fast", ".fieldnorm", ".store"}
    for file in needed:
        data = file.read_bytes()
        file.unlink()
        with pytest.raises(CorruptIndexError, match=f"{file}: is missing"):
            LexicalReader(path)
        file.write_bytes(data)
    assert LexicalReader(path).n_rows == 150


def test_no_folder_and_no_index_are_errors(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CorruptIndexError, match=str(path)):
            LexicalReader(path)
    (tmp_path / "meta.json").write_text("{}")
    for opened in (LexicalReader, LexicalWriter):
        with pytest.raises(CorruptIndexError, match="index again with --overwrite"):
            opened(tmp_path)
