import hashlib
import os

import pytest

from hpdsearch.common.files import BLOCK, PARTIAL, atomic_write, file_sha256


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "a.bin"
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert names(tmp_path) == ["a.bin" + PARTIAL]
    assert names(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"new"


def test_a_file_is_replaced_atomically(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"the old and longer one")
    with path.open("rb") as reader:
        with atomic_write(path) as file:
            file.write(b"new")
            assert path.read_bytes() == b"the old and longer one"
        assert path.read_bytes() == b"new"
        assert reader.read() == b"the old and longer one"  # an open file stays readable
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, StopIteration])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises((error, RuntimeError)), atomic_write(path) as file:  # noqa: PT012
        file.write(b"ne")
        raise error
    assert names(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"old"


def test_the_partial_file_of_a_dead_writer_is_overwritten(tmp_path):
    (tmp_path / ("a.bin" + PARTIAL)).write_bytes(b"leftover, and a long one")
    with atomic_write(tmp_path / "a.bin") as file:
        file.write(b"new")
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "nowhere" / "a.bin"):
        pass
    assert names(tmp_path) == []


def test_the_bytes_are_synced_before_the_rename(tmp_path, monkeypatch):
    """The system calls come in this order: write, fsync of the file, rename, fsync of the folder."""
    calls = []
    real_fsync, real_replace = os.fsync, type(tmp_path).replace

    def fsync(descriptor):
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"  # noqa: PTH112
        calls.append((f"fsync {kind}", names(tmp_path)))
        real_fsync(descriptor)

    def replace(self, target):
        calls.append(("replace", self.read_bytes()))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(type(tmp_path), "replace", replace)
    with atomic_write(tmp_path / "a.bin") as file:
        file.write(b"new")
    partial = ["a.bin" + PARTIAL]
    assert calls == [("fsync file", partial), ("replace", b"new"), ("fsync folder", ["a.bin"])]


def test_sha256_equals_the_published_examples(tmp_path):
    """The examples are those of FIPS 180-2, appendix B."""
    for data, expected in [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ]:
        (tmp_path / "a").write_bytes(data)
        assert file_sha256(tmp_path / "a") == expected


def test_sha256_of_a_file_of_several_blocks(tmp_path):
    data = os.urandom(2 * BLOCK + 1)
    (tmp_path / "a").write_bytes(data)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()
