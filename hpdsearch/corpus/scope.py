"""The files whose documents an update may delete."""

import os
from collections import Counter
from collections.abc import Collection, Container, Iterator, Sequence
from pathlib import Path

from hpdsearch.corpus.locations import STDIN, find_location, is_gone, is_stream, to_posix
from hpdsearch.corpus.sources import FOLDER_ENDINGS, PAGE_ENDINGS, split_ending


class CorpusScope:
    """The files that belong to a corpus: those that its paths name or contain.

    With `read`, the scope is that of a corpus as hpdsearch reads it: the files that were read, and files that are gone.
    A file is gone from a corpus if it does not exist any more and the corpus would have read it: it lay in one of its
    folders, or a shell glob named it. A glob does not show: the file counts if it lay beside a page (.md .rst .html)
    with its ending, or beside two files of lines with its ending. One file of lines is not enough, because users remove
    such a file when it is indexed (`more.jsonl`) and go on with the next one. A file that exists and was not read,
    because it has another format, is hidden or was skipped, does not belong to the corpus.
    """

    def __init__(self, paths: Sequence[str], read: Container[str] | None = None, skipped: Collection[str] = ()) -> None:
        """Describe a corpus.

        Args:
            paths: its files and folders, relative or absolute; "-" or "stdin" is standard input.
            read: locations of the files that were read; it may grow. None: all files under the paths belong to it.
            skipped: locations of the files and folders of which something was skipped because of an error; it may grow.
                They do not belong to the corpus: what could not be read is not gone.
        """
        self._read = read
        self._skipped = skipped
        names = [path for path in paths if path and path != "-" and not is_stream(path)]
        self._streams = {STDIN if path == "-" else path for path in paths if path == "-" or is_stream(path)}
        # Folders that earlier versions stored are absolute, too, but may lead through links.
        self._named = {*map(find_location, names), *(to_posix(os.path.abspath(name)) for name in names)}  # noqa: PTH100
        self._folders = tuple(f"{location.rstrip('/')}/" for location in self._named)
        files = {find_location(name) for name in names if Path(name).is_file()}
        beside = Counter(map(_folder_and_ending, files))
        self._globs = {key for key, n_files in beside.items() if n_files > 1 or key[1] in PAGE_ENDINGS}

    def covers(self, location: str) -> bool:
        """Return whether a stored file belongs to the corpus."""
        if self._is_skipped(location):
            return False
        if is_stream(location):
            return location in (self._streams if self._read is None else self._read)
        if not Path(location).is_absolute():
            location = find_location(location)  # an earlier version stored it, relative to the working directory
        is_inside = location in self._named or location.startswith(self._folders)
        if self._read is None:
            return is_inside
        if location in self._read or (is_inside and find_location(location) in self._read):
            return True
        folder_reads_it = is_inside and split_ending(location)[0] in FOLDER_ENDINGS
        return (folder_reads_it or _folder_and_ending(location) in self._globs) and is_gone(location)

    def _is_skipped(self, location: str) -> bool:
        """Return whether something of a stored file, or a folder above it, was skipped."""
        if not self._skipped:
            return False
        names = {location} if is_stream(location) else {location, find_location(location)}
        return any(name[:end] in self._skipped for name in names for end in _list_ends(name))


def _list_ends(location: str) -> Iterator[int]:
    """Yield the lengths of a location and of the folders above it."""
    yield len(location)
    end = location.rfind("/")
    while end > 0:
        yield end
        end = location.rfind("/", 0, end)


def _folder_and_ending(location: str) -> tuple[str, str]:
    return location.rpartition("/")[0], split_ending(location)[0]
