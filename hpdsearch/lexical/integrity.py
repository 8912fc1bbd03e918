"""The files of a lexical folder: which are active, and whether they are intact."""

import hashlib
import json
import shutil
import stat
import time
from collections.abc import Iterator, Set
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import tantivy

from hpdsearch.common.files import MAX_READ_ATTEMPTS, parse_json
from hpdsearch.errors import RESTORE, CorruptIndexError, IndexFolderError
from hpdsearch.lexical.analysis import TOKENIZER
from hpdsearch.lexical.tantivy_formats import MANAGED, META, active_file_names, count_rows, is_intact, is_own_file

_SECONDS_UNTIL_SHARED = 1.0  # a writer calls share_files at once after Tantivy has written meta.json

FileIdentity = tuple[Path, int, int, int]  # path, inode, size, mtime_ns
IntactFiles = frozenset[FileIdentity]


def schema(tokenizer: str = TOKENIZER) -> tantivy.Schema:
    """Return the fields of a lexical document, whose text this tokenizer splits."""
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    builder.add_text_field("body", tokenizer_name=tokenizer, index_option="freq")
    return builder.build()


def writing(folder: Path) -> AbstractContextManager[None]:
    """Return a context that raises IndexFolderError for Tantivy's errors on a full or failing disk."""
    return _translate_errors(
        IndexFolderError, f"{folder}: the lexical index cannot be written", "make room or check the disk"
    )


def reading(folder: Path) -> AbstractContextManager[None]:
    """Return a context that raises CorruptIndexError for Tantivy's errors on corrupt files."""
    advice = "check the disk, or index again with --overwrite"
    return _translate_errors(CorruptIndexError, f"{folder}: the lexical index cannot be read", advice)


@contextmanager
def _translate_errors(kind: type[IndexFolderError], problem: str, advice: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # A panic of Tantivy is a BaseException whose class cannot be imported.
        if not isinstance(error, (ValueError, OSError, TypeError)) and type(error).__name__ != "PanicException":
            raise
        raise kind(f"{problem} ({error}); {advice}") from error


def corrupt_files(folder: Path) -> list[Path]:
    """Return the active files that are missing or do not match their checksum.

    Raises:
        CorruptIndexError: meta.json, which names the active files, cannot be read.
    """
    return verify_files(folder, frozenset())[0]


def verify_files(folder: Path, known: Set[FileIdentity]) -> tuple[list[Path], IntactFiles]:
    """Verify the active files, apart from those known to be intact: Tantivy never changes a file that it has written.

    Args:
        folder: a lexical folder.
        known: files that are not read again.

    Returns:
        the corrupt files; the intact ones.

    Raises:
        CorruptIndexError: meta.json, which names the active files, cannot be read.
    """
    for _ in range(MAX_READ_ATTEMPTS):
        before = read_meta(folder)
        corrupt: list[Path] = []
        intact: set[FileIdentity] = set()
        for path in _active_files(folder, before):
            identity = _identify(path)
            if identity is not None and (identity in known or is_intact(path)):
                intact.add(identity)
            else:
                corrupt.append(path)
        if not corrupt or read_meta(folder) == before:  # else a writer has replaced the files in the meantime
            return corrupt, frozenset(intact)
    raise CorruptIndexError(
        f"{folder}: changed {MAX_READ_ATTEMPTS} times while it was read; try again when writers are done"
    )


def read_meta(folder: Path) -> bytes:
    """Return meta.json, which names the active files and changes with every commit.

    Raises:
        CorruptIndexError: it is missing.
        PermissionError: this user may not read it.
    """
    path = folder / META
    until = time.monotonic() + _SECONDS_UNTIL_SHARED
    while True:
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise CorruptIndexError(f"{path}: is missing; {RESTORE}") from error
        except PermissionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def committed_files(folder: Path) -> list[Path]:
    """Return the files of the last commit; none if a writer has removed the folder meanwhile."""
    try:
        meta = read_meta(folder)
    except CorruptIndexError:
        return []
    return [folder / META, folder / MANAGED, *_active_files(folder, meta)]


def share_files(folder: Path) -> None:
    """Let the users who may read a lexical folder read the files that Tantivy makes for their owner only.

    The folder has the modes of the umask.
    """
    for name in (META, MANAGED):
        path = folder / name
        mode = stat.S_IMODE(folder.stat().st_mode) & 0o666
        if stat.S_IMODE(path.stat().st_mode) != mode:
            with suppress(PermissionError):  # the file is another user's, and Tantivy has not made it again
                path.chmod(mode)


def commit_fingerprint(folder: Path, meta: bytes) -> tuple[int, str]:
    """Return the parts of meta.json that identify a commit and that merges leave unchanged.

    Returns:
        the number of operations (opstamp); the sha256, in hexadecimal, of the number of rows, the fields and the
        settings.

    Raises:
        CorruptIndexError: meta.json cannot be parsed.
    """
    try:
        parsed = parse_json(meta)
        lasting = json.dumps([count_rows(parsed), parsed["schema"], parsed["index_settings"]], sort_keys=True)
        return int(parsed["opstamp"]), hashlib.sha256(lasting.encode()).hexdigest()
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt_meta(folder, error) from error


def _active_files(folder: Path, meta: bytes) -> list[Path]:
    """Return the files that meta.json names; all others belong to a writer that is at work or has died."""
    try:
        return [folder / name for name in active_file_names(meta)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _corrupt_meta(folder, error) from error


def _corrupt_meta(folder: Path, error: Exception) -> CorruptIndexError:
    return CorruptIndexError(f"{folder / META}: cannot be parsed ({error!r}); {RESTORE}")


def _identify(path: Path) -> FileIdentity | None:
    try:
        found = path.stat()
    except (FileNotFoundError, ValueError):  # ValueError: a corrupt meta.json gave a name with a zero byte
        return None
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def remove_lexical_folder(folder: Path) -> None:
    """Delete a lexical folder that no catalog names any more."""
    shutil.rmtree(folder, ignore_errors=True)


def clean_lexical_folder(folder: Path) -> None:
    """Remove the files of a dead writer: Tantivy does not overwrite a file of deletions.

    Raises:
        CorruptIndexError: meta.json, which names the active files, cannot be read.
    """
    share_files(folder)  # earlier versions did not
    active = set(_active_files(folder, read_meta(folder)))
    for path in folder.iterdir():
        if path not in active and is_own_file(path):
            path.unlink(missing_ok=True)
