"""BEIR folders: a corpus, queries, and relevance judgments (qrels). Format: Thakur et al. 2021, arXiv:2104.08663.

<collection>/corpus.jsonl[.gz]     {"_id": ..., "title": ..., "text": ...} per line
<collection>/queries.jsonl[.gz]    {"_id": ..., "text": ...} per line
<collection>/qrels/test.tsv        query-id<TAB>corpus-id<TAB>score, below a header
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpdsearch.corpus.formats import parse_object
from hpdsearch.errors import CorpusError
from hpdsearch.evaluation.files import find_folders, read_lines


@dataclass(frozen=True)
class Collection:
    """A BEIR folder; the corpus stays on disk.

    Attributes:
        name: name of the folder.
        corpus: path of the corpus file.
        queries: texts of the queries that have a relevant document, by query_id.
        qrels: relevance of the judged documents, by doc_id, of each of these queries.
        n_without_relevant: number of judged queries that are left out because no document is relevant to them.
        n_unknown_queries: number of judged queries that are left out because the queries file lacks them.
    """

    name: str
    corpus: Path
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    n_without_relevant: int
    n_unknown_queries: int

    def documents(self) -> Iterator[tuple[str, str]]:
        """Yield each document as (doc_id, title and text joined by a space).

        Raises:
            CorpusError: a line is not as expected, or a doc_id occurs twice; the message names file and line.
        """
        return _read_records(self.corpus)


def read_collections(folder: Path, subset: str = "test") -> list[Collection]:
    """Read the queries and judgments of a BEIR folder, or of all BEIR folders in a folder.

    Corpora are read later, by `Collection.documents`.

    Args:
        folder: the BEIR folder, or a folder of BEIR folders.
        subset: name of the judgments, as in qrels/test.tsv.

    Raises:
        CorpusError: a file is missing, or a line is not as expected; the message names file and line.
    """
    expected = "corpus.jsonl or corpus.jsonl.gz"
    return [
        _read_collection(path, subset)
        for path in find_folders(folder, lambda path: _contains(path, "corpus"), expected)
    ]


def _read_collection(folder: Path, subset: str) -> Collection:
    texts = dict(_read_records(_find_file(folder, "queries")))
    path = folder / "qrels" / f"{subset}.tsv"
    qrels = _read_qrels(path)
    relevant = {query_id: judged for query_id, judged in qrels.items() if max(judged.values()) > 0}
    known = {query_id: judged for query_id, judged in relevant.items() if query_id in texts}
    if not known:
        raise CorpusError(f"{path}: expected a relevant document for at least one query of the queries file, got none")
    return Collection(
        name=folder.resolve().name,
        corpus=_find_file(folder, "corpus"),
        queries={query_id: texts[query_id] for query_id in known},
        qrels=known,
        n_without_relevant=len(qrels) - len(relevant),
        n_unknown_queries=len(relevant) - len(known),
    )


def _contains(folder: Path, name: str) -> bool:
    return any((folder / f"{name}.jsonl{ending}").is_file() for ending in ("", ".gz"))


def _find_file(folder: Path, name: str) -> Path:
    plain = folder / f"{name}.jsonl"
    return plain if plain.is_file() or not _contains(folder, name) else plain.with_name(f"{name}.jsonl.gz")


def _read_records(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, title and text) of each line of a JSON lines file."""
    seen: set[str] = set()
    for where, line in read_lines(path):
        record = parse_object(line, where)
        record_id, title, text = (_read_string(record, field, where) for field in ("_id", "title", "text"))
        if record_id in seen:
            raise CorpusError(f'{where}: expected different ids, got "{record_id}" a second time')
        seen.add(record_id)
        yield record_id, f"{title} {text}".strip()


def _read_string(record: dict[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if value is None and field == "title":
        return ""
    if not isinstance(value, str):
        raise CorpusError(f'{where}: expected a string "{field}", got {json.dumps(value)[:80]}')
    return value


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, (where, line) in enumerate(read_lines(path)):
        cells = line.split("\t")
        if number == 0 and cells[-1] == "score":
            continue
        try:
            query_id, doc_id, score = cells
            relevance = int(score)
        except ValueError:
            message = f"{where}: expected query-id<TAB>corpus-id<TAB>integer, got {line[:80]!r}"
            raise CorpusError(message) from None
        before = qrels.setdefault(query_id, {}).setdefault(doc_id, relevance)
        if before != relevance:
            raise CorpusError(
                f"{where}: expected one judgment of {doc_id} for {query_id}, got {before} before and {relevance} here"
            )
    return qrels
