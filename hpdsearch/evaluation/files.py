"""Shared by the readers of STS files and BEIR folders: lines with their locations, and folders of folders."""

from collections.abc import Callable, Iterator
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


def find_folders(folder: Path, is_valid: Callable[[Path], bool], expected: str) -> list[Path]:
    """Return the folder itself if it is valid, else all folders inside it, sorted by name.

    Args:
        folder: to look in; hidden folders inside it are ignored.
        is_valid: tells whether a folder contains the expected files.
        expected: the names of these files, for messages.

    Raises:
        CorpusError: `folder` is no folder, or a folder inside it is not valid.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: there is no such folder; check the path")
    if is_valid(folder):
        return [folder]
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for path in inner or [folder]:
        if not is_valid(path):
            raise CorpusError(f"{path}: expected {expected}, found none of them")
    return inner
