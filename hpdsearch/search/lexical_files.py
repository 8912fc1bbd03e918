"""The lexical index of a state: a folder, and the last passages, which wait in the catalog to be written there."""

from collections.abc import Iterator
from pathlib import Path

from hpdsearch.catalog import Catalog
from hpdsearch.corpus.passages import title_before_text
from hpdsearch.errors import RESTORE, CorruptIndexError
from hpdsearch.lexical import LexicalReader

# Settings: rows from here on wait; the lexical folder's count of operations at its last commit, and its sum.
FIRST_BUFFERED_ROW, OPSTAMP, SUM = "waiting_row", "lexical_opstamp", "lexical_sum"


def open_words(folder: Path, catalog: Catalog, *, before: LexicalReader | None = None) -> LexicalReader:
    """Open the words of a state of an index folder.

    Args:
        folder: the index folder.
        catalog: the state.
        before: a reader of an earlier state; what it has checked is not checked again.

    Raises:
        CorruptIndexError: a file is missing or altered.
    """
    meta = catalog.meta()
    first_row = meta.get(FIRST_BUFFERED_ROW)
    waiting = [] if first_row is None else list(passages_between(catalog, first_row, meta["next_row"]))
    reader = LexicalReader(folder / meta["lexical"], waiting, before=before)
    opstamp, found = reader.commit_fingerprint
    # Another opstamp is that of a writer that died, or is at work.
    if opstamp == meta.get(OPSTAMP) and found != meta.get(SUM, found):
        path = folder / meta["lexical"] / "meta.json"
        raise CorruptIndexError(f"{path}: is not what was written (its sum differs); {RESTORE}")
    return reader


def passages_between(catalog: Catalog, first_row: int, end_row: int) -> Iterator[tuple[int, str, str]]:
    """Yield (row, title, text) of the passages in rows first_row <= row < end_row."""
    placed = catalog.passages_between(first_row, end_row)
    stored = catalog.documents(list(dict.fromkeys(doc for _, doc, _, _ in placed)))
    for row, doc, start, end in placed:
        document = stored[doc].document
        yield row, title_before_text(document), document.text[start:end]
