"""The check of a document before it is stored: callers may construct documents that no reader makes."""

import json
from collections.abc import Mapping
from typing import Any

from hpdsearch.errors import CorpusError
from hpdsearch.records import Document

# Of lists and objects in one another. Python and SQLite read back 1,000 levels, and fewer from within deep calls.
MAX_METADATA_DEPTH = 500
TOO_DEEP = f"lists and objects that are nested more than {MAX_METADATA_DEPTH} deep; flatten them"


def require_document(document: Document, position: int) -> None:
    """Check that the catalog can store a document without loss.

    Raises:
        CorpusError: a field has a wrong type, the doc_id is empty, or a text or the metadata cannot be stored.
    """
    if not isinstance(document, Document):
        raise CorpusError(f"documents[{position}]: expected a Document, got {type(document).__name__}")
    where = document.source or f"documents[{position}]"
    if not isinstance(document.doc_id, str) or not document.doc_id:
        raise CorpusError(f"{where}: expected a doc_id that is an integer or a filled string, got {document.doc_id!r}")
    for name in ("text", "title"):
        if not isinstance(getattr(document, name), str):
            raise CorpusError(f"{where}: expected a {name} string, got {type(getattr(document, name)).__name__}")
    for location in document.locations:
        if not (isinstance(location, tuple) and [*map(type, location)] == [int, str] and location[0] >= 0):
            raise CorpusError(f"{where}: expected locations (first character, label), got {location!r:.200}")
    try:
        "".join((document.doc_id, document.title, document.text, document.source)).encode()
        "".join(label for _, label in document.locations).encode()
        if document.metadata != {}:
            text = json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False)
            text.encode()
            if text.count("[") + text.count("{") > MAX_METADATA_DEPTH:
                _check_depth(document.metadata)
    except UnicodeEncodeError as error:
        raise CorpusError(f"{where}: expected Unicode text, got an unpaired surrogate ({error.reason})") from error
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{where}: expected metadata of JSON values, got: {error}") from error
    except RecursionError:
        raise CorpusError(f"{where}: expected metadata of JSON values, got: {TOO_DEEP}") from None


def _check_depth(metadata: Mapping[str, Any]) -> None:
    """Raise ValueError for lists and objects that are nested more than MAX_METADATA_DEPTH deep."""
    level: list[Any] = [metadata]
    for _ in range(MAX_METADATA_DEPTH):
        inner = [each for value in level for each in (value.values() if isinstance(value, Mapping) else value)]
        level = [value for value in inner if isinstance(value, Mapping | list | tuple)]
    if level:
        raise ValueError(TOO_DEEP)
