"""A corrupt or missing file of a lexical folder is an error."""

import random
import shutil

import pytest
from lexical_folders import write_folder

from hpdsearch.errors import CorruptIndexError
from hpdsearch.lexical import (
    LexicalReader,
    LexicalWriter,
    corrupt_files,
)


def test_opening_again_verifies_new_and_changed_files(tmp_path):
    path = write_folder(tmp_path / "l", [("", f"kon number{row}") for row in range(9)], commits=2)
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


@pytest.fixture(scope="module")
def merged_folder(tmp_path_factory):
    """Return a folder after many commits, merges and removals."""
    path, rng = tmp_path_factory.mktemp("lexical") / "merged", random.Random(3)
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
def copied(merged_folder, tmp_path):
    """Return a copy that a test may damage."""
    return shutil.copytree(merged_folder, tmp_path / "l")


def test_an_intact_folder_has_no_corrupt_files(copied, folder):
    assert corrupt_files(copied) == corrupt_files(folder) == []


def test_a_flipped_bit_is_found_in_every_file_with_a_footer(copied):
    paths = [path for path in copied.iterdir() if path.suffix not in ("", ".json", ".lock")]
    assert {path.suffix for path in paths} >= {".term", ".idx", ".pos", ".fast", ".fieldnorm", ".store", ".del"}
    for path in paths:
        data = path.read_bytes()
        n = len(data) - 8 - int.from_bytes(data[-8:-4], "little")  # the body; then footer, its length, a magic number
        crc = data.index(b'"crc":') + len('"crc":')
        for position in {0, n // 3, n // 2, n - 1, crc, len(data) - 8, len(data) - 4}:
            damaged = bytearray(data)
            damaged[position] ^= 1
            path.write_bytes(damaged)
            assert corrupt_files(copied) == [path], f"{path.suffix} {position}"
        for length in (0, 7, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:length])
            assert corrupt_files(copied) == [path], f"{path.suffix} {length}"
        path.write_bytes(data)
    assert corrupt_files(copied) == []


def test_a_corrupt_folder_raises_corrupt_index_error_or_answers(copied):
    rng = random.Random(5)
    for path in sorted(path for path in copied.iterdir() if path.stat().st_size):
        data = path.read_bytes()
        copies = [data[: len(data) // 2], b""]
        for _ in range(8):
            damaged = bytearray(data)
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            copies.append(bytes(damaged))
        for copy in copies:
            path.write_bytes(copy)
            try:
                reader = LexicalReader(copied)
                reader.search("kon number7", 99, only=range(50))
                reader.all_rows()
            except CorruptIndexError as error:
                assert str(copied) in str(error)  # noqa: PT017 - a flipped bit may also do no harm
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
