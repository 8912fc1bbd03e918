"""The check of an archive before it is unpacked: no zip bomb, no password."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpdsearch.corpus.extraction.limits import ExtractionError, ExtractionLimits

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # encrypted Office files, and those of before 2007
IS_ENCRYPTED = 1  # bit of ZipInfo.flag_bits


@contextmanager
def open_archive(path: Path, limits: ExtractionLimits) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose entries are within the limits.

    zipfile never unpacks more of an entry than the size that the archive states, so the stated sizes can be trusted.

    Raises:
        ExtractionError: the file is no archive, is encrypted, or exceeds a limit.
    """
    with path.open("rb") as file:
        if file.read(len(OLE_MAGIC)) == OLE_MAGIC:
            raise ExtractionError(
                "expected an Office file without a password, got an encrypted one or one of before 2007; save it again"
            )
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ExtractionError(f"expected a complete file, got a damaged or other one ({error})") from error
    with archive:
        entries = archive.infolist()
        if len(entries) > limits.entries:
            raise ExtractionError(f"expected at most {limits.entries:,} files in the archive, got {len(entries):,}")
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > limits.unpacked_bytes:
            raise ExtractionError(
                f"expected at most {limits.unpacked_bytes:,} bytes when it is unpacked, got {unpacked:,}"
            )
        if any(entry.flag_bits & IS_ENCRYPTED for entry in entries):
            raise ExtractionError("expected an archive without a password, got an encrypted one; save it without")
        yield archive


def check_archive(path: Path, limits: ExtractionLimits) -> None:
    """Check an archive that a library unpacks. Raises ExtractionError as `open_archive` does."""
    with open_archive(path, limits):
        pass


def parse_xml(raw: bytes) -> Any:
    """Return the root of an XML file; entities are not expanded and nothing is fetched."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    return etree.fromstring(raw, parser)
