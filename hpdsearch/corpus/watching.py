"""Wait for changes of the files of a corpus, by the notifications of the system (watchfiles)."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from hpdsearch.corpus.locations import find_location
from hpdsearch.corpus.patterns import PathFilter
from hpdsearch.corpus.sources import FOLDER_ENDINGS, is_hidden, split_ending
from hpdsearch.errors import CorpusError, require_extra

QUIET_MS = 500  # a batch of changes ends when nothing changed for this time ...
LONGEST_MS = 5_000  # ... or when it lasts this long
TIMEOUT_MS = 500


class CorpusChanges:
    """Tells of changes of files that a corpus would read."""

    def __init__(self, paths: Sequence[str], chosen: PathFilter, ignored: Path) -> None:
        """Name what is watched.

        Args:
            paths: the files and folders of the corpus.
            chosen: chooses among the files of the folders.
            ignored: the folder of the index, which may lie in a folder of the corpus.

        Raises:
            CorpusError: a path is no file or folder.
            MissingExtraError: watchfiles is not installed.
        """
        require_extra("watchfiles", extra="watch", feature="watch")
        if wrong := [path for path in paths if not (Path(path).is_dir() or Path(path).is_file())]:
            raise CorpusError(f"{wrong[0]}: expected a file or folder, which can be watched")
        self._chosen = chosen
        self._ignored = find_location(str(ignored))
        self._files = {find_location(path) for path in paths if Path(path).is_file()}
        self._folders = [find_location(path) for path in paths if Path(path).is_dir()]

    def wait(self) -> Iterator[bool]:
        """Yield whether something changed, about twice a second; the first time, nothing is missed from then on.

        Raises:
            CorpusError: the system cannot watch the folders.
        """
        try:
            for batches in zip(*self._watch(), strict=True):
                changes = chain.from_iterable(batches)
                yield any(self.is_relevant(path, is_deleted=change.name == "deleted") for change, path in changes)
        except OSError as error:  # a limit of the system, or a folder that is gone
            raise CorpusError(
                f"{', '.join([*self._folders, *self._files])}: cannot be watched ({error}); on Linux, "
                "fs.inotify.max_user_watches limits the number of folders; WATCHFILES_FORCE_POLLING=1 needs none"
            ) from error

    def _watch(self) -> list[Iterator[Any]]:
        """Return iterators over batches of changes: of the folders, and of the folders that hold the named files.

        Programs save a file by replacing it, so a file is not watched itself.
        """
        from watchfiles import watch

        parents = {str(Path(location).parent) for location in self._files}
        watched = [(self._folders, True), (sorted(parents), False)]
        return [
            watch(
                *folders,
                watch_filter=None,
                debounce=LONGEST_MS,
                step=QUIET_MS,
                rust_timeout=TIMEOUT_MS,
                yield_on_timeout=True,
                recursive=is_recursive,
            )
            for folders, is_recursive in watched
            if folders
        ]

    def is_relevant(self, path: str, *, is_deleted: bool) -> bool:
        """Return whether a change of a path may change the documents of the corpus."""
        location = Path(path).as_posix()
        if location == self._ignored or location.startswith(f"{self._ignored}/"):
            return False
        if location in self._files:
            return True
        return any(
            self._is_read(location, location[len(folder.rstrip("/")) + 1 :], is_deleted=is_deleted)
            for folder in self._folders
            if location.startswith(f"{folder.rstrip('/')}/")
        )

    def _is_read(self, location: str, inside: str, *, is_deleted: bool) -> bool:
        if any(map(is_hidden, inside.split("/"))):
            return False
        may_be_folder = is_deleted or Path(location).is_dir()  # nobody knows what a deleted path was
        if split_ending(inside)[0] not in FOLDER_ENDINGS:
            return may_be_folder and self._chosen.enters(inside)
        return self._chosen.accepts(inside) or (may_be_folder and self._chosen.enters(inside))
