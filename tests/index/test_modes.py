"""The files of an index have the modes of the umask, after every kind of change."""

import os
from pathlib import Path

import pytest

from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import Encoder
from hpdsearch.index import Index
from hpdsearch.records import Document


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
def test_every_file_has_the_modes_of_the_umask(tmp_path: Path, tiny_encoder: Encoder, umask: int) -> None:
    folder = tmp_path / "index"
    before = os.umask(umask)
    try:
        with Index.build(folder, [Document("a", "cat moon"), Document("b", "sun")], encoder=tiny_encoder) as index:
            for change in (
                lambda: index.add([Document("c", "snow")]),
                index.compact,
                lambda: index.delete("a"),
                lambda: index.reindex(IndexSpec()),
            ):
                change()
                for path in folder.rglob("*"):
                    expected = (0o777 if path.is_dir() else 0o666) & ~umask
                    assert path.stat().st_mode & 0o777 == expected, path
    finally:
        os.umask(before)
