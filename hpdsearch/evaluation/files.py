"""Shared by the readers of STS files and BEIR folders: lines with their locations, and folders of folders."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from hpdsearch.corpus.lines import SourceLocation, open_stream, read_text_lines
from hpdsearch.errors import CorpusError


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    r"""Yield (`file:line`, text) of each line of a UTF-8 file, plain or .gz, without the line end (\n or \r\n).

    Raises:
        CorpusError: the file is missing, damaged or not UTF-8.
    """
    location = SourceLocation(str(path))
    with open_stream(path, location, compressed=path.suffix == ".gz") as (file, _):
        for line in read_text_lines(file, location):
            yield str(location), line.rstrip("\r\n")


def read_filled_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of `read_lines` that are not blank."""
    return ((where, line) for where, line in read_lines(path) if line.strip())


def find_files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files whose names match the first pattern that any file matches, sorted by name.

    Raises:
        CorpusError: the folder is missing or cannot be read, or no file matches.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be read: {error.strerror}; check the path") from None
    for pattern in patterns:
        found = [path for path in files if fnmatchcase(path.name, pattern)]
        if found:
            return found
    raise CorpusError(f"{folder}: expected {' or '.join(patterns)}, found none of them")


def find_folders(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the folder itself if a file in it matches a pattern, else all folders inside it, sorted by name.

    Hidden folders are ignored. Reading a folder without such a file is an error later, so that it is not overlooked.

    Raises:
        CorpusError: the folder is missing or cannot be read, or no file in it or in a folder inside it matches.
    """
    if _has_files(folder, patterns):
        return [folder]
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be read: {error.strerror}; check the path") from None
    if not any(_has_files(path, patterns) for path in inner):
        expected = " or ".join(patterns)
        raise CorpusError(f"{folder}: expected {expected}, in it or in the folders inside it, found none of them")
    return inner


def _has_files(folder: Path, patterns: Sequence[str]) -> bool:
    try:
        return bool(find_files(folder, patterns))
    except CorpusError:
        return False
