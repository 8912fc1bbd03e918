"""Metadata that describe a document's file (hpdsearch.corpus.file_fields): they may change and the document not."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from hpdsearch.catalog.schema import hash64, metadata_json
from hpdsearch.records import Document

FILE_FIELDS = {"file", "folder", "extension", "size", "modified"}
FILE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


def content_fingerprint(document: Document) -> int:
    """Return 64 bits that are equal for equal titles, texts and metadata, apart from the fields of a file."""
    metadata = document.metadata
    if metadata.keys() >= FILE_FIELDS and is_file_time(metadata["modified"]):
        metadata = {name: value for name, value in metadata.items() if name not in FILE_FIELDS}
    return hash64(document.title, document.text, metadata_json(replace(document, metadata=metadata)))


def has_same_metadata(stored: str, source: str, document: Document) -> bool:
    """Return whether stored metadata are those of a document, apart from the time at which its file was changed.

    A file that was moved has other fields `file` and `folder`, which are not compared: `relocate` changes them.

    A file that was written again with the same content is the same document: a checkout or a copy changes the times of
    all files.
    """
    if stored == metadata_json(document):
        return True
    modified = document.metadata.get("modified")
    if not is_file_time(modified):
        return False
    metadata = follow_source(json.loads(stored), source, document.source)
    if not is_file_time(metadata.get("modified")):
        return False
    return bool(metadata | {"modified": modified} == json.loads(metadata_json(document)))


def follow_source(metadata: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return metadata whose fields `file` and `folder` are those of a new source, if they were those of the old one."""
    changed = dict(metadata)
    if old != new:
        before, after = PurePosixPath(old), PurePosixPath(new)
        for name, value, other in (
            ("file", before.name, after.name),
            ("folder", before.parent.name, after.parent.name),
        ):
            if metadata.get(name) == value:
                changed[name] = other
    return changed


def is_file_time(value: Any) -> bool:
    """Return whether a value is a time as hpdsearch.corpus.file_fields writes it."""
    return isinstance(value, str) and FILE_TIME.fullmatch(value) is not None
