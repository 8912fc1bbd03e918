"""Notice cheaply that an index folder has a new commit."""

from contextlib import suppress
from pathlib import Path

from hpdsearch.catalog import Catalog
from hpdsearch.catalog.connection import read_state
from hpdsearch.errors import ChangedIndexError

CommitState = tuple[int, int]  # inode of the catalog, number of its committed transactions


def inode(path: Path) -> int:
    """Return the number of a file in its file system.

    Raises:
        IndexFolderError: the file cannot be found.
    """
    return read_state(path)[0]


class CommitWatch:
    """Reads the newest committed state of a folder over one connection that it keeps; for one thread at a time."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._catalog: Catalog | None = None
        self._inode = 0

    def read(self, folder: Path) -> CommitState:
        """Return a value that differs after each commit, and after another index has taken the folder's place.

        Raises:
            IndexFolderError: the folder holds no committed index, or one of another format.
            CorruptIndexError: SQLite cannot read the catalog.
        """
        catalog = self._catalog
        if catalog is not None and not catalog.is_inherited and self._inode == inode(folder / catalog.path.name):
            with suppress(ChangedIndexError):  # a catalog that cannot be locked here is opened again
                return self._inode, catalog.generation()
        self.close()
        self._catalog = Catalog.open(folder)
        self._catalog.follow_commits()
        self._inode = inode(self._catalog.path)
        return self._inode, self._catalog.generation()

    def close(self) -> None:
        """Close the connection; the next `read` opens another one."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None
