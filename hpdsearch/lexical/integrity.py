"""The files of a lexical folder: which are in force, and whether they are what Tantivy wrote."""

import hashlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import tantivy

from hpdsearch.common.files import BLOCK
from hpdsearch.errors import CorruptIndexError, IndexFolderError
from hpdsearch.lexical.analysis import TOKENIZER

_FOOTER_MAGIC = 1337  # tantivy, directory/footer.rs
_ENDINGS = ("term", "idx", "pos", "fieldnorm", "fast", "store")  # the files of one segment
_ATTEMPTS = 50

Checked = frozenset[tuple[Path, int, int, int]]  # path, inode, size, mtime_ns


def schema() -> tantivy.Schema:
    """Return the fields of a lexical document."""
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    builder.add_text_field("body", tokenizer_name=TOKENIZER, index_option="freq")
    return builder.build()


def writing(folder: Path) -> AbstractContextManager[None]:
    """Turn what Tantivy raises when the disk is full or broken into IndexFolderError."""
    return _translated(
        IndexFolderError, f"{folder}: the lexical index cannot be written", "make room or check the disk"
    )


def reading(folder: Path) -> AbstractContextManager[None]:
    """Turn what Tantivy raises on damaged files into CorruptIndexError."""
    advice = "check the disk, or index again with --overwrite"
    return _translated(CorruptIndexError, f"{folder}: the lexical index cannot be read", advice)


@contextmanager
def _translated(kind: type[IndexFolderError], what: str, advice: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # A panic of Tantivy's is a BaseException whose class cannot be imported.
        if not isinstance(error, (ValueError, OSError, TypeError)) and type(error).__name__ != "PanicException":
            raise
        raise kind(f"{what} ({error}); {advice}") from error


def corrupt_files(folder: Path) -> list[Path]:
    """Return the files in force that are missing, or whose bytes are not those that Tantivy wrote.

    Raises:
        CorruptIndexError: meta.json, which names the files in force, cannot be read.
    """
    return check_files(folder, frozenset())[0]


def check_files(folder: Path, known: Set[tuple[Path, int, int, int]]) -> tuple[list[Path], Checked]:
    """Check the files in force, but for those known to be whole: Tantivy never changes a file that it has written.

    Returns:
        the altered files; what is known to be whole now.

    Raises:
        CorruptIndexError: meta.json, which names the files in force, cannot be read.
    """
    for _ in range(_ATTEMPTS):
        before = read_meta(folder)
        altered, whole = [], set()
        for path in _files_in_force(folder, before):
            identity = _identity(path)
            if identity is not None and (identity in known or _is_whole(path)):
                whole.add(identity)
            else:
                altered.append(path)
        if not altered or read_meta(folder) == before:  # a writer may have replaced the files meanwhile
            return altered, frozenset(whole)
    raise CorruptIndexError(f"{folder}: changed {_ATTEMPTS} times while it was read; try again when writers are done")


def read_meta(folder: Path) -> bytes:
    """Return meta.json, which names the files in force and changes with every commit."""
    path = folder / "meta.json"
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CorruptIndexError(f"{path}: is missing; restore it, or index again with --overwrite") from error


def commit_fingerprint(folder: Path, meta: bytes) -> tuple[int, str]:
    """Return what meta.json says of the last commit, and merges leave as it is.

    Returns:
        count of operations; sha256, in hexadecimal, over the count of rows held, the fields and their settings.

    Raises:
        CorruptIndexError: it cannot be read.
    """
    try:
        read = json.loads(meta)
        n_dead = [(segment["deletes"] or {"num_deleted_docs": 0})["num_deleted_docs"] for segment in read["segments"]]
        n_rows = sum(segment["max_doc"] for segment in read["segments"]) - sum(n_dead)
        lasting = json.dumps([n_rows, read["schema"], read["index_settings"]], sort_keys=True)
        return int(read["opstamp"]), hashlib.sha256(lasting.encode()).hexdigest()
    except (ValueError, KeyError, TypeError) as error:
        advice = "restore it, or index again with --overwrite"
        raise CorruptIndexError(f"{folder / 'meta.json'}: is not what was written ({error!r}); {advice}") from error


def _files_in_force(folder: Path, meta: bytes) -> list[Path]:
    """Return the files that meta.json names; all others are those of a writer that is at work, or died."""
    try:
        segments = json.loads(meta)["segments"]
        ids = {segment["segment_id"].replace("-", ""): segment["deletes"] for segment in segments}
        deletes = [f"{name}.{deletes['opstamp']}.del" for name, deletes in ids.items() if deletes]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        advice = "restore it, or index again with --overwrite"
        raise CorruptIndexError(f"{folder / 'meta.json'}: is not what was written ({error!r}); {advice}") from error
    return [folder / name for name in sorted([*deletes, *(f"{name}.{end}" for name in ids for end in _ENDINGS)])]


def _identity(path: Path) -> tuple[Path, int, int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, ValueError):  # the second where a damaged meta.json gave a name with a zero byte
        return None
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def _is_whole(path: Path) -> bool:
    """Check one file: body, JSON footer {"crc": ...}, length of the footer and a magic number (4 bytes each)."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            length, magic = struct.unpack("<II", file.read(8)) if size >= 8 else (0, 0)
            if magic != _FOOTER_MAGIC or length > size - 8:
                return False
            file.seek(size - 8 - length)
            footer = json.loads(file.read(length))
            file.seek(0)
            crc, left = 0, size - 8 - length
            while block := file.read(min(left, BLOCK)):
                crc, left = zlib.crc32(block, crc), left - len(block)
            return bool(crc == footer["crc"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def remove_lexical_folder(folder: Path) -> None:
    """Delete a lexical folder that no catalog names any more."""
    shutil.rmtree(folder, ignore_errors=True)


def clean_lexical_folder(folder: Path) -> None:
    """Remove what a dead writer left: Tantivy refuses to write a file of deletions whose name is there already.

    Raises:
        CorruptIndexError: meta.json, which names the files in force, cannot be read.
    """
    kept = set(_files_in_force(folder, read_meta(folder)))
    for path in folder.iterdir():
        if path not in kept and (path.name.startswith(".tmp") or path.suffix[1:] in (*_ENDINGS, "del")):
            path.unlink(missing_ok=True)
