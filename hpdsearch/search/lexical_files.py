"""The lexical index of a snapshot: a folder, and the newest passages, which are buffered in the catalog."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpdsearch.catalog import Catalog
from hpdsearch.corpus.headings import PassageTitles
from hpdsearch.errors import RESTORE, CorruptIndexError, IndexFolderError
from hpdsearch.lexical import ENGLISH, LANGUAGES, Analysis, AnalysisVersion, LexicalReader

# Keys of the catalog's settings.
FIRST_BUFFERED_ROW = "waiting_row"  # the lexical folder lacks the rows from here on
OPSTAMP = "lexical_opstamp"  # Tantivy's count of operations at the folder's last commit
ANALYSIS = "lexical_analysis"  # hpdsearch.lexical.AnalysisVersion of the folder's rows and of the buffered ones
INDEX_LANGUAGES = "languages"  # codes of the languages of the documents; none: English
CHECKSUM = "lexical_sum"  # of that commit's meta.json (hpdsearch.lexical.commit_fingerprint)


def open_lexical(folder: Path, catalog: Catalog, *, previous: LexicalReader | None = None) -> LexicalReader:
    """Open the lexical index of a snapshot.

    Args:
        folder: the index folder.
        catalog: the catalog of the snapshot.
        previous: a reader of an earlier snapshot; the files that it has checked are not checked again.

    Raises:
        CorruptIndexError: a file is missing or altered.
        IndexFolderError: the analysis of the rows is unknown.
    """
    meta = catalog.meta()
    first_row = meta.get(FIRST_BUFFERED_ROW)
    buffered = [] if first_row is None else list(passages_between(catalog, first_row, meta["next_row"]))
    reader = LexicalReader(folder / meta["lexical"], buffered, analysis=read_analysis(meta, folder), before=previous)
    opstamp, checksum = reader.commit_fingerprint
    # With another opstamp the commit is that of a writer that died or is at work, and nothing is known about it.
    if opstamp == meta.get(OPSTAMP) and checksum != meta.get(CHECKSUM, checksum):
        raise CorruptIndexError(f"{folder / meta['lexical'] / 'meta.json'}: does not match its checksum; {RESTORE}")
    return reader


def read_analysis(meta: Mapping[str, Any], folder: Path) -> Analysis:
    """Return the analysis of the lexical rows; the first versions of hpdsearch stored none.

    Raises:
        IndexFolderError: a newer version of hpdsearch wrote the index.
    """
    version = meta.get(ANALYSIS, AnalysisVersion.WORDS.value)
    try:
        known = AnalysisVersion(version)
    except ValueError:
        expected = f"1..{max(AnalysisVersion).value}"
        raise IndexFolderError(
            f"{folder}: expected lexical analysis {expected}, got {version!r}; a newer hpdsearch wrote it: upgrade"
        ) from None
    if known is not AnalysisVersion.LANGUAGES:
        return Analysis(known)
    languages = meta.get(INDEX_LANGUAGES, [])
    if unknown := set(languages) - set(LANGUAGES):
        raise IndexFolderError(
            f"{folder}: expected languages among {', '.join(LANGUAGES)}, got {min(unknown)!r}; a newer hpdsearch "
            "wrote it: upgrade"
        )
    return Analysis.of_languages(languages)


def language_settings(languages: Sequence[str]) -> dict[str, Any]:
    """Return the settings of an index whose lexical index is begun for documents in these languages."""
    return {INDEX_LANGUAGES: list(languages), ANALYSIS: Analysis.of_languages(languages).version.value}


def read_languages(meta: Mapping[str, Any]) -> list[str]:
    """Return the languages of an index; the first versions of hpdsearch stored none, and knew English alone."""
    return list(meta.get(INDEX_LANGUAGES, [ENGLISH]))


def passages_between(catalog: Catalog, first_row: int, end_row: int) -> Iterator[tuple[int, str, str]]:
    """Yield (row, title, text) of the passages in rows first_row <= row < end_row."""
    placed = catalog.passages_between(first_row, end_row)
    stored = catalog.documents(list(dict.fromkeys(doc for _, doc, _, _ in placed)))
    titles = {doc: PassageTitles(found.document) for doc, found in stored.items()}
    for row, doc, start, end in placed:
        yield row, titles[doc].before(start), stored[doc].document.text[start:end]
