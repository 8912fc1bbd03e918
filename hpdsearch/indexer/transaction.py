"""One change of an index folder: lock it, sweep what a dead writer left, make files beside, commit once, sweep again.

Order of a commit: vectors and index files (published whole), lexical rows (added), the catalog (the one commit point);
only then are dead lexical rows and unnamed files removed. Whatever dies in between leaves the last committed state, and
what it left behind is unknown to the catalog and removed by the next writer.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from hpdsearch.catalog import FILE_NAME, Catalog, CatalogWriter
from hpdsearch.common.files import PARTIAL
from hpdsearch.errors import CorruptIndexError, HpdsearchError, IndexFolderError, LockedError
from hpdsearch.indexer.lexical_buffer import LexicalBuffer
from hpdsearch.lexical import clean_lexical_folder, remove_lexical_folder

logger = logging.getLogger(__name__)

LOCK_NAME = "write.lock"
LEXICAL = "lexical"
_OUR_FILES = re.compile(rf"(vectors-\d+\.f16|index-\d+\.faiss)({re.escape(PARTIAL)})?")


class Transaction:
    """A change of one folder, from entering the `with` block to `commit`; leaving without commit changes nothing.

    Attributes:
        folder: the index folder.
        catalog: the catalog, open for writing.
        meta: its settings when the change began; empty if nothing was committed.
        committed: whether commit() has brought it into force.
        next_row: the first row that no passage ever had.
        words: what becomes of its passages' words.
    """

    def __init__(self, folder: Path, *, create: bool = False, overwrite: bool = False) -> None:
        self.folder = folder
        self._create, self._overwrite = create, overwrite

    def __enter__(self) -> "Transaction":
        if self._create:
            self._prepare_folder()
        elif not (self.folder / FILE_NAME).is_file():
            raise IndexFolderError(
                f"{self.folder}: not an hpdsearch index; make one with: hpdsearch index CORPUS -o FOLDER"
            )
        self._lock = lock_folder(self.folder)
        try:
            self.catalog = CatalogWriter.open(self.folder)
            try:
                self._begin()
            except BaseException:
                self.catalog.close()
                raise
        except BaseException as error:
            self._lock.release()
            self._raise_if_of_the_disk(error)
            raise
        return self

    def _raise_if_of_the_disk(self, error: BaseException | None) -> None:
        """Convert disk errors to IndexFolderError; errors that the caller's iterator raised pass through."""
        if isinstance(error, OSError) and (error.filename is None or str(self.folder) in str(error.filename)):
            raise IndexFolderError(
                f"{self.folder}: cannot be written ({error.strerror}); make room or check the disk, nothing was changed"
            ) from error

    def _prepare_folder(self) -> None:
        if self.folder.is_dir() and not (self.folder / FILE_NAME).exists():
            others = sorted(path.name for path in self.folder.iterdir() if path.name != LOCK_NAME)
            if others:
                raise IndexFolderError(
                    f"{self.folder}: holds other files ({others[0]} ...); choose a folder of its own"
                )
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
            self.meta: dict[str, Any] = {}
        else:
            if self._create and not self._overwrite:
                raise IndexFolderError(
                    f"{self.folder}: holds an index already; use --overwrite to replace it, or: hpdsearch add"
                )
            self.meta = self.catalog.meta()
        self.committed = False
        self._sweep_files()
        self._next_number = int(self.meta.get("next_number", 1))
        if self._create:
            self.catalog.clear()
            self.next_row = 0
            self.meta = {"generation": self.meta.get("generation", 0)}
            self.words = LexicalBuffer(self.folder, self.catalog, self.meta, self.next_row)
            self.begin_lexical()
        else:
            self.next_row = int(self.meta.get("next_row", self.catalog.next_row()))
            clean_lexical_folder(self.folder / self.meta["lexical"])
            self.words = LexicalBuffer(self.folder, self.catalog, self.meta, self.next_row)

    def begin_lexical(self) -> None:
        """Begin a lexical index in place of the one in force, to be filled with every row."""
        self.words.begin_folder(f"{LEXICAL}/{self.meta['generation'] + 1:06d}")

    def new_number(self) -> int:
        """Return a number for the names of files that this change makes."""
        number = self._next_number
        self._next_number += 1
        return number

    def vectors_path(self, number: int) -> Path:
        """Place of a vectors file."""
        return self.folder / f"vectors-{number:06d}.f16"

    def index_path(self, number: int) -> Path:
        """Place of an index file."""
        return self.folder / f"index-{number:06d}.faiss"

    def commit(self) -> None:
        """Bring the change into force: one committed state to the next, whatever dies."""
        self.words.commit(self.next_row)
        self.meta |= {"generation": self.meta["generation"] + 1}
        self.meta |= {"next_number": self._next_number, "next_row": self.next_row}
        self.catalog.set_meta(**self.meta)
        self.catalog.commit()
        self.committed = True
        logger.info("%s: committed generation %d", self.folder, self.meta["generation"])
        with self.tidying():
            self._sweep_files()
            self.words.purge()

    @contextmanager
    def tidying(self) -> Iterator[None]:
        """Keep what fails behind the commit from looking like a change that failed; the next writer tidies up."""
        try:
            yield
        except (OSError, HpdsearchError) as error:
            logger.warning("%s: tidying up failed, the next writer will do it: %s", self.folder, error)

    def _sweep_files(self) -> None:
        """Remove the files that the catalog does not name: of dead builds, or of an index that was overwritten."""
        entries = self.catalog.segments() if self.meta else []
        named = {name for entry in entries for name in (entry.vectors_file, entry.index_file)}
        for path in self.folder.iterdir():
            if _OUR_FILES.fullmatch(path.name) and path.name not in named:
                logger.info("%s: not in force, removed", path)
                path.unlink(missing_ok=True)
        lexical = self.folder / LEXICAL
        for path in lexical.iterdir() if lexical.is_dir() else ():
            if f"{LEXICAL}/{path.name}" != self.meta.get("lexical"):
                remove_lexical_folder(path)

    def _remove_folder(self) -> None:
        """Remove what a first build made that did not come to its commit."""
        self.meta = {}
        for path in [*self.folder.glob("*.f16*"), *self.folder.glob("*.faiss*"), *self.folder.glob(f"{FILE_NAME}*")]:
            path.unlink(missing_ok=True)
        remove_lexical_folder(self.folder / LEXICAL)
        (self.folder / LOCK_NAME).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            with self.tidying():
                self.words.close()
        finally:
            nothing_committed = not self.catalog.committed and not self.committed
            self.catalog.close()
            # An interrupt may have come between SQLite's commit and our note of it: the file knows.
            if nothing_committed and not _is_committed(self.folder):
                with self.tidying():
                    self._remove_folder()
            self._lock.release()
        self._raise_if_of_the_disk(error)


def _is_committed(folder: Path) -> bool:
    try:
        Catalog.open(folder).close()
    except CorruptIndexError:
        return True
    except IndexFolderError:
        return False
    return True


def lock_folder(folder: Path) -> FileLock:
    """Take the folder's write lock; the operating system lets go of it when the process dies.

    Raises:
        LockedError: another writer holds it.
    """
    path = folder / LOCK_NAME
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:
            holder = f"process {int(path.read_text())}"
        except (ValueError, OSError):
            holder = "another process"
        raise LockedError(f"{folder}: {holder} is writing to this index; try again when it is done") from None
    except OSError as error:
        raise IndexFolderError(f"{folder}: cannot be written to ({error.strerror})") from error
    ours = str(os.getpid())
    with suppress(OSError):  # the number only helps the message to a second writer
        if path.read_text() != ours:  # a file that is cut and written anew is brought to disk when it is closed
            path.write_text(ours)
    return lock
