"""Locations: where documents come from. A location is the identity of a document that has no id of its own.

The location of a file is its absolute real path, with "/"; a line of it adds `:17`. A stream (standard input, a FIFO)
has no path: the first one is `stdin`, the second `stdin-2`. A doc_id made from a file is an ending of its location.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

STDIN = "stdin"  # standard input in messages, and the location of the first stream
STREAM_NAME = re.compile(r"/dev/(stdin|fd/\d+)|/proc/(self|\d+)/fd/\d+")
STREAM_LOCATION = re.compile(rf"{STDIN}(-\d+)?")
LINE = re.compile(r":\d+$")
ESCAPED_BYTE = re.compile(rb"\\x([89a-f][0-9a-f])")


def find_location(path: str) -> str:
    """Return the location of a file or folder: links are followed; bytes that are not UTF-8 become `\\xff`."""
    real = os.path.realpath(path)
    try:
        real.encode()
    except UnicodeEncodeError:
        real = os.fsencode(real).decode(errors="backslashreplace")
    return to_posix(real)


def to_posix(path: str) -> str:
    """Return a path with "/" between its parts."""
    return path if os.sep == "/" else path.replace(os.sep, "/")


def number_stream(number: int) -> str:
    """Return the location of a stream by its number, from 1."""
    return STDIN if number == 1 else f"{STDIN}-{number}"


def is_stream(location: str) -> bool:
    """Return whether a location is that of a stream."""
    return STREAM_LOCATION.fullmatch(location) is not None


def split_line(location: str) -> tuple[str, str]:
    """Split a location or doc_id in the file and its `:17`; the second part is empty for a whole file."""
    found = LINE.search(location)
    return (location[: found.start()], found[0]) if found else (location, "")


def is_ending(doc_id: str, location: str) -> bool:
    """Return whether doc_id is a location or its last parts: `notes/a.md` is an ending of `/home/u/notes/a.md`."""
    return bool(doc_id) and location.endswith(doc_id) and location[: -len(doc_id)][-1:] in ("", "/")


def extend_left(ending: str, location: str) -> str:
    """Add one more part of a location to its ending: `a.md` -> `notes/a.md`; the location itself stays."""
    before = location[: len(location) - len(ending)].rstrip("/")
    start = before.rfind("/") + 1
    return location[start:] if before else location


def list_endings(location: str) -> Iterator[str]:
    """Yield all endings of a location, from its last part to the location itself."""
    ending = location.rpartition("/")[2]
    while ending != location:
        yield ending
        ending = extend_left(ending, location)
    yield location


def find_ending(name: str, location: str) -> str:
    """Return the longest ending of a location that its name ends with; without one, the location's last part.

    `./u/a.txt` gives `u/a.txt`. A name that leads through a link has other parts than the location.
    """
    written = to_posix(os.path.normpath(name))
    if is_ending(written, location):
        return written
    common = [ending for ending in list_endings(location) if is_ending(ending, written)]
    return common[-1] if common else location.rpartition("/")[2]


def is_gone(location: str) -> bool:
    """Return whether a file does not exist any more; a file that cannot be tested is not gone."""
    raw = ESCAPED_BYTE.sub(lambda found: bytes([int(found[1], 16)]), os.fsencode(location))
    for path in {location, os.fsdecode(raw)}:
        try:
            Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            return False
        return False
    return True


def may_be_unmounted(location: str) -> bool:
    """Return whether a file that is gone may lie on a volume that is not mounted: its nearest folder is empty."""
    folder = next(parent for parent in Path(location).parents if parent.is_dir())
    try:
        return next(folder.iterdir(), None) is None
    except OSError:
        return True
