"""What the readers of STS files and BEIR folders share: lines with their places, and folders of folders."""

from collections.abc import Callable, Iterator
from pathlib import Path

from hpdsearch.corpus.lines import SourceLocation, open_stream, read_text_lines
from hpdsearch.errors import CorpusError


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    r"""Yield (`file:line`, text) of each line of a UTF-8 file, plain or .gz, without its \n or \r\n.

    Raises:
        CorpusError: the file is missing, damaged or not UTF-8.
    """
    location = SourceLocation(str(path))
    with open_stream(path, location, compressed=path.suffix == ".gz") as (file, _):
        for line in read_text_lines(file, location):
            yield str(location), line.rstrip("\r\n")


def find_folders(folder: Path, holds: Callable[[Path], bool], expected: str) -> list[Path]:
    """Return the folder itself if it `holds` what is wanted, else the folders in it, sorted, if all of them do.

    Raises:
        CorpusError: it is no folder, or one of them does not hold what is `expected`.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: there is no such folder")
    if holds(folder):
        return [folder]
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for path in inner or [folder]:
        if not holds(path):
            raise CorpusError(f"{path}: expected {expected}, found none of them")
    return inner
