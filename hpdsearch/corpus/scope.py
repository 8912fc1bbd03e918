"""The files whose documents an update may delete."""

import os
from collections.abc import Container, Sequence
from pathlib import Path

from hpdsearch.corpus.locations import STDIN, find_location, is_gone, is_stream, to_posix
from hpdsearch.corpus.sources import split_ending


class CorpusScope:
    """The files that belong to a corpus: those that its paths name or contain.

    With `read`, the scope is that of a corpus as hpdsearch reads it: the files that were read, and files that are gone.
    A file is gone from a corpus if it does not exist any more and lay in one of the corpus's folders, or beside one of
    its files and had the same ending (a shell glob does not name a file that was removed). A file that exists and was
    not read, because it has another format, is hidden or was skipped, does not belong to the corpus.
    """

    def __init__(self, paths: Sequence[str], read: Container[str] | None = None) -> None:
        """Describe a corpus.

        Args:
            paths: its files and folders, relative or absolute; "-" or "stdin" is standard input.
            read: locations of the files that were read; it may grow. None: all files under the paths belong to it.
        """
        self._read = read
        names = [path for path in paths if path and path != "-" and not is_stream(path)]
        # Folders that earlier versions stored are absolute, too, but may lead through links.
        self._streams = {STDIN if path == "-" else path for path in paths if path == "-" or is_stream(path)}
        self._named = {*map(find_location, names), *(to_posix(os.path.abspath(name)) for name in names)}  # noqa: PTH100
        self._folders = tuple(f"{location.rstrip('/')}/" for location in self._named)
        self._siblings = {_folder_and_ending(location) for location in self._named if Path(location).is_file()}

    def covers(self, location: str) -> bool:
        """Return whether a stored file belongs to the corpus."""
        if is_stream(location):
            return location in (self._streams if self._read is None else self._read)
        if not Path(location).is_absolute():
            location = find_location(location)  # an earlier version stored it, relative to the working directory
        if self._read is None:
            return location in self._named or location.startswith(self._folders)
        if location in self._read:
            return True
        if (
            location in self._named
            or location.startswith(self._folders)
            or _folder_and_ending(location) in self._siblings
        ):
            return find_location(location) in self._read or is_gone(location)
        return False


def _folder_and_ending(location: str) -> tuple[str, tuple[str, bool]]:
    return location.rpartition("/")[0], split_ending(location)
