"""Open a lexical folder with Tantivy, also where its lock file cannot be written: read-only media, another user.

Tantivy opens a lock file for writing before it reads, so that no writer removes a file meanwhile. Elsewhere it opens a
temporary folder of links to the files of one commit instead, and the caller must try again if a writer removes one.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import tantivy

from hpdsearch.errors import IndexFolderError
from hpdsearch.lexical.analysis import register_tokenizers
from hpdsearch.lexical.tantivy_formats import MANAGED, META, READ_LOCK, active_file_names, join_metas

# Making the links takes 0.2 ms in memory, 3 to 20 ms on a disk; containers have it even if their disk is read-only.
_MEMORY_FOLDER = Path("/dev/shm")


def open_committed(folder: Path, meta: bytes) -> tuple[tantivy.Searcher, tantivy.Schema]:
    """Open the commit that a meta.json describes, or a later one; every file of it is open afterwards.

    Raises:
        IndexFolderError: the lock file cannot be written, and there is no temporary folder.
        ValueError: Tantivy cannot read the files, or a writer has removed them.
    """
    if os.access(folder / READ_LOCK, os.W_OK):
        try:
            return _open(folder)
        except ValueError as error:
            # The `.managed.json` of another user may be unreadable, and only writers need it. Some network file systems
            # do not lock files.
            if os.access(folder / MANAGED, os.R_OK) and "acquire Lockfile" not in str(error):
                raise
    with _linked_files(meta, [folder / name for name in active_file_names(meta)]) as links:
        return _open(links)


def open_together(commits: Sequence[tuple[Path, bytes]]) -> tuple[tantivy.Searcher, tantivy.Schema]:
    """Open the commits of several folders of equal schemas as one index, which has the counts of all.

    Args:
        commits: the folders, and their meta.json.

    Raises:
        IndexFolderError: there is no temporary folder.
        ValueError: Tantivy cannot read the files, or a writer has removed them.
    """
    files = [folder / name for folder, meta in commits for name in active_file_names(meta)]
    with _linked_files(join_metas([meta for _, meta in commits]), files) as links:
        return _open(links)


def _open(folder: Path) -> tuple[tantivy.Searcher, tantivy.Schema]:
    index = tantivy.Index.open(str(folder))
    register_tokenizers(index)
    searcher = index.searcher()
    # Tantivy opens the files of terms at the first query; both fields must exist.
    searcher.search(tantivy.Query.term_query(index.schema, "body", "", index_option="freq"), limit=1, count=False)
    tantivy.Query.term_set_query(index.schema, "row", [0])
    return searcher, index.schema


@contextmanager
def _linked_files(meta: bytes, files: Sequence[Path]) -> Iterator[Path]:
    """Make a temporary folder with this meta.json and links to the files that it names; remove it afterwards."""
    links = _make_links(meta, files)
    try:
        yield links
    finally:
        # A thread of Tantivy may make a lock file, once, while the files are removed.
        shutil.rmtree(links, ignore_errors=True)
        shutil.rmtree(links, ignore_errors=True)


def _make_links(meta: bytes, files: Sequence[Path]) -> Path:
    failure: OSError | None = None
    for parent in _temporary_folders():
        try:
            links = Path(tempfile.mkdtemp(prefix="hpdsearch-", dir=parent))
            try:
                _fill_with_links(links, meta, files)
            except BaseException:
                shutil.rmtree(links, ignore_errors=True)
                raise
            return links
        except OSError as error:
            failure = error
    reason = "there is none" if failure is None else failure.strerror
    folder = files[0].parent if files else "the lexical index"
    raise IndexFolderError(
        f"{folder}: cannot be opened in its place, so reading it needs a temporary folder ({reason}); "
        "set TMPDIR to a folder with write permission and room"
    ) from failure


def _fill_with_links(links: Path, meta: bytes, files: Sequence[Path]) -> None:
    (links / META).write_bytes(meta)
    for path in files:
        try:
            (links / path.name).symlink_to(path.absolute())
        except OSError:
            if os.name != "nt":  # Windows lets only some users make links
                raise
            shutil.copyfile(path, links / path.name)


def _temporary_folders() -> Iterator[str]:
    if _MEMORY_FOLDER.is_dir():
        yield str(_MEMORY_FOLDER)
    with suppress(FileNotFoundError):
        yield tempfile.gettempdir()
