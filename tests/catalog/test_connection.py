"""Opening a catalog: foreign files, other formats, read-only folders."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from catalogs import execute

from hpdsearch.catalog import FILE_NAME, FORMAT, Catalog, CatalogWriter
from hpdsearch.errors import ChangedIndexError, CorruptIndexError, IndexFolderError

WAL = FILE_NAME + "-wal"
SHM = FILE_NAME + "-shm"


def test_no_folder_and_no_catalog_are_errors(tmp_path):
    with pytest.raises(IndexFolderError, match="no such folder; make one with: hpdsearch index CORPUS -o"):
        Catalog.open(tmp_path / "nowhere")
    for make in (lambda: None, (tmp_path / FILE_NAME).mkdir):
        make()
        with pytest.raises(IndexFolderError, match=f"not an hpdsearch index .it holds no {FILE_NAME}"):
            Catalog.open(tmp_path)


@pytest.mark.parametrize("statement", ["CREATE TABLE notes(x)", "PRAGMA application_id = 7"])
def test_another_program_s_database_is_refused_and_left_as_it_is(tmp_path, statement):
    path = tmp_path / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    data = path.read_bytes()
    for opened in (Catalog, CatalogWriter):
        with pytest.raises(IndexFolderError, match="is a database of another program; choose another folder"):
            opened.open(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("found", "advice"),
    [(FORMAT + 1, "a newer hpdsearch wrote it: upgrade"), (1, "index again into another folder"), (0, "index again")],
)
def test_the_error_for_another_format_names_both_formats_and_the_fix(folder, found, advice):
    execute(folder, f"PRAGMA user_version = {found}")
    for opened in (Catalog, CatalogWriter):
        with pytest.raises(IndexFolderError, match=f"{FILE_NAME}: expected format {FORMAT}, got {found}; {advice}"):
            opened.open(folder)


@pytest.mark.parametrize("data", [b"hello" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_corrupt(tmp_path, data):
    (tmp_path / FILE_NAME).write_bytes(data)
    for opened in (Catalog, CatalogWriter):
        with pytest.raises(CorruptIndexError, match=f"{FILE_NAME}: SQLite cannot read it"):
            opened.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == data


def test_an_empty_catalog_file_holds_no_commit(tmp_path):
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(IndexFolderError, match="nothing was committed"):
        Catalog.open(tmp_path)


def open_read_only(folder, *, keep_wal, files):
    """Open a read-only copy of these files, in which the last commit may still be in SQLite's log."""
    code = """if True:
        import os, sys
        import urllib.parse  # pathlib imports it on first use, when the other user may not read root's Python
        from pathlib import Path
        from hpdsearch.catalog import Catalog, CatalogWriter
        from hpdsearch.errors import HpdsearchError
        if os.geteuid() == 0:
            os.setuid(65534)
        for opened in (Catalog, CatalogWriter):
            try:
                catalog = opened.open(Path(sys.argv[1]))
                print(catalog.meta()["generation"], catalog.n_documents())
                catalog.close()
            except HpdsearchError as error:
                print(error)"""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        writer = CatalogWriter.open(folder)
        writer.set_meta(generation=2)
        writer.commit()
        if not keep_wal:
            writer.close()
        for file in files:
            shutil.copy(folder / file, copy / file)
            (copy / file).chmod(0o444)
        writer.close()
        copy.chmod(0o555)
        run = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
        copy.chmod(0o755)
        return run.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize(
    ("keep_wal", "files"),
    [(False, [FILE_NAME]), (False, [FILE_NAME, WAL]), (False, [FILE_NAME, WAL, SHM]), (True, [FILE_NAME, WAL, SHM])],
)
def test_the_last_commit_of_a_read_only_folder_is_read_and_nothing_is_written(folder, keep_wal, files):
    reader, writer = open_read_only(folder, keep_wal=keep_wal, files=files)
    assert reader == "2 3"
    assert writer.endswith(f"{FILE_NAME}: cannot be written; its owner can allow it, or choose another folder")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_whose_last_commit_cannot_be_read_is_an_error_not_an_older_state(folder):
    reader, _ = open_read_only(folder, keep_wal=True, files=[FILE_NAME, WAL])
    assert f"the last changes are in {FILE_NAME}-wal" in reader
    assert reader.endswith("open the index once in a folder with write permission")


def test_a_reader_changes_no_file_and_leaves_those_that_other_readers_need(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    Catalog.open(folder).close()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != SHM} == {
        name: data for name, data in before.items() if name != SHM
    }
    assert before[WAL] == b""
    assert before.keys() == {FILE_NAME, WAL, SHM}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
def test_the_files_of_a_catalog_have_the_modes_of_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        writer = CatalogWriter.open(tmp_path)
        writer.clear()
        writer.set_meta(generation=1)
        writer.commit()
        writer.close()
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        (FILE_NAME, WAL, SHM), 0o666 & ~umask
    )


def test_a_change_under_a_reader_that_cannot_lock_is_an_error_not_a_mixture(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for name in (WAL, SHM):
        (folder / name).unlink()
    catalog = Catalog.open(folder)
    assert catalog.n_documents() == 3
    monkeypatch.undo()
    writer = CatalogWriter.open(folder)
    writer.set_meta(generation=2)
    writer.commit()
    assert catalog.meta()["generation"] == 1  # the commit is in the log, and the catalog's file has not changed
    writer.close()
    with pytest.raises(ChangedIndexError, match=r"was changed while it was read without a lock.*open the index again"):
        catalog.meta()
