"""Metadata of files that are one document: name, folder, extension, size, time of change; front matter of Markdown."""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, timezone
from pathlib import PurePosixPath
from typing import Any

from hpdsearch.corpus.options import ReadOptions
from hpdsearch.corpus.sources import Source

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
MAX_FRONT_MATTER = 1 << 16  # characters


def add_file_fields(metadata: Mapping[str, Any], source: Source, options: ReadOptions) -> dict[str, Any]:
    """Return the fields of a file and those of its document; the latter come first where both have a field."""
    fields: dict[str, Any] = {}
    if not source.is_stream:
        path = PurePosixPath(source.location)  # it does not depend on how the user named the file
        fields = {
            "file": path.name,
            "folder": path.parent.name,
            "extension": source.ending.removeprefix("."),
            "size": source.size,
            "modified": format_time(source.modified_ns // 10**9),
        }
    fields |= metadata
    if options.columns:
        return {name: value for name, value in fields.items() if name in options.columns}
    return {name: value for name, value in fields.items() if name not in options.exclude_columns}


def format_time(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, without fractions: 2026-05-06T07:08:09+00:00."""
    try:
        return datetime.fromtimestamp(int(seconds), timezone.utc).isoformat()
    except (OverflowError, ValueError, OSError):  # years beyond 9999
        return ""


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Split a Markdown text in its front matter and the rest.

    A text that begins with a line `---` and no mapping of YAML behind it has no front matter.
    """
    found = FRONT_MATTER.match(text)
    if found is None or len(found[1]) > MAX_FRONT_MATTER:
        return {}, text
    values = parse_front_matter(found[1])
    return (values, text[found.end() :]) if values is not None else ({}, text)


def parse_front_matter(text: str) -> dict[str, Any] | None:
    """Return the mapping of a YAML text as JSON values; None if it is none, or if it has aliases.

    A few lines of aliases can stand for gigabytes.
    """
    import yaml

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            return None
        loaded = yaml.safe_load(text)
        return {str(key): to_json(value) for key, value in loaded.items()} if isinstance(loaded, dict) else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def to_json(value: Any) -> Any:
    """Return a value of YAML as a JSON value; dates become ISO 8601 strings.

    Raises:
        ValueError: JSON has no equivalent.
    """
    if isinstance(value, dict):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [to_json(each) for each in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise ValueError(f"expected a JSON value, got {type(value).__name__}")
