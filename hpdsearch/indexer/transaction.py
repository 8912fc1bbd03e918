"""One transaction on an index folder: lock it, remove what a dead writer left, write new files, commit once, clean up.

Order of a commit: vectors and index files (published complete), lexical rows (added), the catalog (the one commit
point). Only then are tombstoned lexical rows and files that the catalog does not name removed. If the process dies at
any moment, the folder holds the last committed state, and the next writer removes the leftovers.
"""

import errno
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from filelock import FileLock, Timeout

from hpdsearch.catalog import FILE_NAME, Catalog, CatalogWriter
from hpdsearch.common.files import PARTIAL
from hpdsearch.errors import CorruptIndexError, HpdsearchError, IndexFolderError, LockedError, ShapeError
from hpdsearch.indexer.draft import Draft
from hpdsearch.indexer.lexical_buffer import LexicalBuffer
from hpdsearch.indexer.merge_policy import DEFAULT_MERGE_POLICY, MergePolicy
from hpdsearch.lexical import clean_lexical_folder, remove_lexical_folder
from hpdsearch.search.lexical_files import language_settings, read_languages

logger = logging.getLogger(__name__)

LOCK_NAME = "write.lock"
REFINE_LOCK = "refine.lock"
LEXICAL = "lexical"
ENCODED = "encoded.f16"  # the blocks that a run has encoded and not committed (hpdsearch.indexer.encoded_blocks)
_OUR_FILES = re.compile(rf"((vectors|refined)-\d+\.f16|encoded\.f16|index-\d+\.faiss)({re.escape(PARTIAL)})?")


def refined_path(folder: Path, number: int) -> Path:
    """Return the path of the file that collects the refined vectors of a draft."""
    return folder / f"refined-{number:06d}.f16"


class Transaction:
    """A transaction on one folder, from entering the `with` block to `commit`; without commit nothing changes.

    It owns the settings (`meta`) and the row counter; other modules change them by `set_meta` and `allocate_rows`.

    Attributes:
        folder: the index folder.
        policy: says which rows are buffered and which segments are merged.
        catalog: the catalog, open for writing.
        committed: whether commit() has activated the transaction.
        lexical: takes the passages of the new rows.
    """

    def __init__(
        self,
        folder: Path,
        *,
        create: bool = False,
        overwrite: bool = False,
        wait: float = 0,
        policy: MergePolicy = DEFAULT_MERGE_POLICY,
        first_row: int = 0,
    ) -> None:
        """Prepare a transaction; entering the `with` block begins it.

        Args:
            folder: the index folder.
            create: make a new index; without it the folder must hold one.
            overwrite: with `create`, replace an index.
            wait: seconds to wait for another writer.
            policy: says which rows are buffered and which segments are merged.
            first_row: with `create`, the first row of the index; the shards of an index have different rows.
        """
        self.folder = folder
        self._first_row = first_row
        self.policy = policy
        self._create = create
        self._overwrite = overwrite
        self._wait = wait

    def __enter__(self) -> "Transaction":
        """Lock the folder and begin.

        Raises:
            IndexFolderError: the folder cannot be used, holds no index, or holds one that must not be replaced.
            LockedError: another writer is at work, and does not end within `wait` seconds.
        """
        self._process = os.getpid()
        try:
            if self._create:
                self._prepare_folder()
            elif not (self.folder / FILE_NAME).is_file():
                raise IndexFolderError(
                    f"{self.folder}: this is not an hpdsearch index; make one with: hpdsearch index CORPUS -o FOLDER"
                )
            self._lock = lock_folder(self.folder, self._wait)
            try:
                self._open_catalog()
            except BaseException:
                self._lock.release()
                raise
        except BaseException as error:
            self._convert_disk_error(error)
            raise
        return self

    def _open_catalog(self) -> None:
        """Open the catalog and begin; if that fails, remove a catalog that holds nothing, as on a full disk."""
        is_new = not _size(self.folder / FILE_NAME)
        try:
            self.catalog = CatalogWriter.open(self.folder)
            try:
                self._begin()
            except BaseException:
                self.catalog.close()
                raise
        except BaseException:
            if is_new and self._create:
                with self.cleanup():
                    self._remove_folder()
            raise

    def _convert_disk_error(self, error: BaseException | None) -> None:
        """Convert disk errors to IndexFolderError; errors that the caller's iterator raised pass through."""
        if isinstance(error, OSError) and (error.filename is None or str(self.folder) in str(error.filename)):
            no_permission = isinstance(error, PermissionError) or error.errno == errno.EROFS
            advice = "check its permissions" if no_permission else "make room or check the disk"
            raise IndexFolderError(
                f"{error.filename or self.folder}: cannot be written ({error.strerror}); {advice}, nothing was changed"
            ) from error

    def _prepare_folder(self) -> None:
        if self.folder.is_dir() and not (self.folder / FILE_NAME).exists():
            left = (LOCK_NAME, REFINE_LOCK, ENCODED)  # by a writer that was stopped
            others = sorted(path.name for path in self.folder.iterdir() if path.name not in left)
            if others:
                raise IndexFolderError(
                    f"{self.folder}: this folder holds other files ({others[0]} ...); choose a folder of its own"
                )
        self._made_parents = [parent for parent in self.folder.parents if not parent.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IndexFolderError(
                f"{self.folder}: cannot be made ({error.strerror}); choose another folder"
            ) from error

    def _begin(self) -> None:
        if not self.catalog.committed:
            if not self._create:
                raise IndexFolderError(f"{self.folder}: nothing was committed here yet; run hpdsearch index again")
        elif self._create and not self._overwrite:
            raise IndexFolderError(
                f"{self.folder}: this folder holds an index already; replace it with --overwrite, or change it with "
                "--update or hpdsearch add"
            )
        self.committed = False
        self._meta: dict[str, Any] = self.catalog.meta() if self.catalog.committed else {}
        self.remove_unnamed_files()
        self._next_number = int(self._meta.get("next_number", 1))
        if self._create:
            self.catalog.clear()
            self._meta = {"generation": self._meta.get("generation", 0)}
            self._next_row = self._first_row
        else:
            clean_lexical_folder(self.folder / self._meta["lexical"])
            self._next_row = int(self._meta.get("next_row", self.catalog.next_row()))
        self.lexical = LexicalBuffer(self.folder, self.catalog, self.meta, self._next_row, self.policy)
        if self._create:
            self.begin_lexical()

    @property
    def meta(self) -> Mapping[str, Any]:
        """The settings as the commit will store them; empty before the first ones are set. A live, read-only view."""
        return MappingProxyType(self._meta)

    def set_meta(self, **settings: Any) -> None:
        """Change settings, each to a JSON value; the commit stores them."""
        self._meta.update(settings)

    @property
    def next_row(self) -> int:
        """The first row that is not allocated; a row is never allocated twice."""
        return self._next_row

    def allocate_rows(self, n: int) -> range:
        """Return n new, consecutive rows."""
        rows = range(self._next_row, self._next_row + n)
        self._next_row = rows.stop
        return rows

    def begin_lexical(self) -> None:
        """Begin a new lexical index, which the caller fills with every row; the commit replaces the active one."""
        self.set_meta(lexical=f"{LEXICAL}/{self._meta['generation'] + 1:06d}")
        self.set_languages(read_languages(self._meta))
        self.lexical.begin_folder()

    def set_languages(self, languages: Sequence[str]) -> None:
        """Set the languages of the lexical index, after it was begun and before it gets a row."""
        self.set_meta(**language_settings(languages))

    def new_number(self) -> int:
        """Return a new number for the names of files that this transaction writes."""
        number = self._next_number
        self._next_number += 1
        return number

    def vectors_path(self, number: int) -> Path:
        """Return the path of a vectors file."""
        return self.folder / f"vectors-{number:06d}.f16"

    def index_path(self, number: int) -> Path:
        """Return the path of an index file."""
        return self.folder / f"index-{number:06d}.faiss"

    def commit(self) -> None:
        """Activate the transaction: a reader sees all of it or nothing, whatever dies at whatever moment.

        Raises:
            IndexFolderError: the disk is full or cannot be written; nothing was changed.
        """
        self.set_meta(**self.lexical.commit(self._next_row))
        self.set_meta(generation=self._meta["generation"] + 1, next_number=self._next_number, next_row=self._next_row)
        self.catalog.set_meta(**self._meta)
        self.catalog.commit()
        self.committed = True
        logger.info("%s: committed generation %d", self.folder, self._meta["generation"])
        with self.cleanup():
            self.remove_unnamed_files()
            self._purge_lexical()

    @contextmanager
    def cleanup(self) -> Iterator[None]:
        """Log the errors of a block after the commit: the change is committed, and the next writer cleans up."""
        try:
            yield
        except (OSError, HpdsearchError) as error:
            logger.warning("%s: cleanup failed, the next writer repeats it: %s", self.folder, error)

    def _purge_lexical(self) -> None:
        """Remove deleted rows from the lexical folder if the policy finds them too many, as a commit of its own."""
        rows = self.catalog.unpurged_rows()
        if len(rows) > self.policy.max_unpurged_rows:
            self.catalog.begin()
            self.set_meta(**self.lexical.purge(rows, self._next_row))
            self.catalog.set_meta(**self._meta)
            self.catalog.commit()

    def remove_unnamed_files(self) -> None:
        """Remove the files that the catalog does not name: those of dead writers, or of an overwritten index."""
        entries = self.catalog.segments() if self._meta else []
        named = {name for entry in entries for name in (entry.vectors_file, entry.index_file)}
        if draft := Draft.read(self._meta):
            named.add(refined_path(self.folder, draft.number).name)
        if not self.committed:
            named.add(ENCODED)  # this transaction may go on with it
        for path in self.folder.iterdir():
            if _OUR_FILES.fullmatch(path.name) and path.name not in named:
                logger.info("%s: removed, because the catalog does not name it", path)
                path.unlink(missing_ok=True)
        lexical = self.folder / LEXICAL
        for path in lexical.iterdir() if lexical.is_dir() else ():
            if f"{LEXICAL}/{path.name}" != self._meta.get("lexical"):
                remove_lexical_folder(path)

    def _remove_folder(self) -> None:
        """Remove the files of a first build that was not committed, apart from what it has encoded."""
        for path in self.folder.iterdir():
            is_ours = _OUR_FILES.fullmatch(path.name) or path.name.startswith(FILE_NAME)
            if is_ours and path.name != ENCODED:
                path.unlink(missing_ok=True)
        remove_lexical_folder(self.folder / LEXICAL)
        for name in (LOCK_NAME, REFINE_LOCK):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # the first folder that others have put files into
            for folder in (self.folder, *self._made_parents):
                folder.rmdir()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if os.getpid() != self._process:  # a child that was forked meanwhile leaves the transaction to its parent
            return
        try:
            with self.cleanup():
                self.lexical.close()
        finally:
            nothing_committed = not self.catalog.committed and not self.committed
            self.catalog.close()
            # An interrupt may have come after SQLite's commit and before `committed` was set: read the file.
            if nothing_committed and not _is_committed(self.folder):
                with self.cleanup():
                    self._remove_folder()
            if isinstance(error, Exception) and (self.folder / ENCODED).exists():
                logger.warning("%s: what is encoded is kept; the same command goes on with it", self.folder)
            self._lock.release()
        self._convert_disk_error(error)


def _size(path: Path) -> int:
    """Return the size of a file; 0: it is empty or does not exist."""
    return path.stat().st_size if path.exists() else 0


def _is_committed(folder: Path) -> bool:
    try:
        Catalog.open(folder).close()
    except CorruptIndexError:
        return True
    except IndexFolderError:
        return False
    return True


def lock_folder(folder: Path, wait: float = 0, *, name: str = LOCK_NAME, action: str = "writing to") -> FileLock:
    """Acquire a lock of the folder; the operating system releases it when the process dies.

    Args:
        folder: the index folder.
        wait: seconds to wait for another process, wait >= 0; a warning names it.
        name: of the lock file.
        action: what its holder is doing, for messages.

    Raises:
        LockedError: another writer holds it, and does not release it within `wait` seconds.
        IndexFolderError: the lock file cannot be opened for writing.
        ShapeError: wait is negative or no number.
    """
    if not wait >= 0:
        raise ShapeError(f"wait: expected at least 0 seconds, got {wait:g}")
    path = folder / name
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if wait:
                holder = _describe_holder(path)
                logger.warning("%s: %s is %s this index; waiting at most %g seconds", folder, holder, action, wait)
            lock.acquire(timeout=wait)
    except Timeout:
        waited = f" and did not end within {wait:g} seconds" if wait else ""
        raise LockedError(
            f"{folder}: {_describe_holder(path)} is {action} this index{waited}; try again when it is done, or wait "
            "for it (--wait SECONDS)"
        ) from None
    except OSError as error:
        raise IndexFolderError(
            f"{folder}: cannot be written to ({error.strerror}); check its permissions and the disk"
        ) from error
    process_id = str(os.getpid()).encode()
    with suppress(OSError):  # the number only serves the error message of a second writer
        if path.read_bytes() != process_id:  # truncating and rewriting a file brings it to disk when it is closed
            path.write_bytes(process_id)
    return lock


def _describe_holder(lock_file: Path) -> str:
    """Name the process that holds a lock."""
    try:
        return f"process {int(lock_file.read_text())}"
    except (ValueError, OSError):
        return "another process"
