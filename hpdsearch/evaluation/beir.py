"""BEIR folders: a corpus, queries, and relevance judgments (qrels). Format: Thakur et al. 2021, arXiv:2104.08663.

<collection>/corpus.jsonl[.gz]     {"_id": ..., "title": ..., "text": ...} per line; an id is a string or an integer
<collection>/queries.jsonl[.gz]    {"_id": ..., "text": ...} per line
<collection>/qrels/test.tsv        query-id, corpus-id, score per line, with or without a header; or the four columns
                                   of TREC: query-id, iteration, corpus-id, score; between tabs, or else white space
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpdsearch.corpus.json_records import parse_object
from hpdsearch.corpus.record import describe_json, to_doc_id
from hpdsearch.errors import CorpusError
from hpdsearch.evaluation.files import find_files, find_folders, read_filled_lines

SCORE_HEADINGS = {"score", "relevance", "rel", "label", "grade", "judgment", "judgement"}  # last cell of a header


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

    def check_corpus(self) -> None:
        """Read the corpus once, because reading is cheap and encoding is not.

        Raises:
            CorpusError: a line is not as expected, or the corpus holds no relevant document.
        """
        relevant = {doc_id for judged in self.qrels.values() for doc_id, grade in judged.items() if grade > 0}
        n_documents = 0
        n_relevant = 0
        for doc_id, _ in self.documents():
            n_documents += 1
            n_relevant += doc_id in relevant
        if not n_relevant:
            found = f"none among {n_documents:,}; check the ids of the judgments" if n_documents else "an empty corpus"
            raise CorpusError(f"{self.corpus}: expected at least one of the relevant documents, got {found}")


def read_collections(folder: Path, subset: str = "test") -> list[Collection]:
    """Read the queries and judgments of a BEIR folder, or of all BEIR folders in a folder.

    Corpora are read later, by `Collection.documents`.

    Args:
        folder: the BEIR folder, or a folder of BEIR folders.
        subset: name of the judgments, as in qrels/test.tsv.

    Raises:
        CorpusError: a file is missing, or a line is not as expected; the message names file and line.
    """
    return [read_collection(path, subset) for path in find_collections(folder)]


def find_collections(folder: Path) -> list[Path]:
    """Return the folder itself if it is a BEIR folder, else all folders inside it.

    Raises:
        CorpusError: neither the folder nor a folder inside it has a corpus.
    """
    return find_folders(folder, _name_files("corpus"))


def read_collection(folder: Path, subset: str = "test") -> Collection:
    """Read the queries and judgments of one BEIR folder; arguments and errors are those of `read_collections`."""
    corpus, queries = (find_files(folder, _name_files(name))[0] for name in ("corpus", "queries"))
    texts = dict(_read_records(queries))
    path = folder / "qrels" / f"{subset}.tsv"
    qrels = _read_qrels(path)
    relevant = {query_id: judged for query_id, judged in qrels.items() if max(judged.values()) > 0}
    known = {query_id: judged for query_id, judged in relevant.items() if query_id in texts}
    if not known:
        raise CorpusError(f"{path}: expected a relevant document for at least one query of the queries file, got none")
    return Collection(
        name=folder.resolve().name,
        corpus=corpus,
        queries={query_id: texts[query_id] for query_id in known},
        qrels=known,
        n_without_relevant=len(qrels) - len(relevant),
        n_unknown_queries=len(relevant) - len(known),
    )


def _name_files(name: str) -> tuple[str, str]:
    return f"{name}.jsonl", f"{name}.jsonl.gz"


def _read_records(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, title and text) of each line of a JSON lines file."""
    seen: set[str] = set()
    for where, line in read_filled_lines(path):
        record = parse_object(line, where)
        record_id = to_doc_id(record.get("_id"), "_id", where)
        if record_id in seen:
            raise CorpusError(f'{where}: expected different ids, got "{record_id}" a second time')
        seen.add(record_id)
        if "text" not in record:
            raise CorpusError(f'{where}: expected a "text" string, got none')
        title, text = (_read_text(record, field, where) for field in ("title", "text"))
        yield record_id, f"{title} {text}".strip()


def _read_text(record: dict[str, Any], field: str, where: str) -> str:
    """Return a field's string; null and a missing field are blank."""
    value = record.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorpusError(f'{where}: expected a "{field}" string, got {describe_json(value)}')
    return value


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, (where, line) in enumerate(read_filled_lines(path)):
        cells = [cell.strip() for cell in line.strip().split("\t" if "\t" in line.strip() else None)]
        if number == 0 and cells[-1].lower() in SCORE_HEADINGS:
            continue
        if len(cells) not in (3, 4) or not all(cells):
            raise CorpusError(
                f"{where}: expected query-id, corpus-id and score, or the four columns of TREC, got {line[:80]!r}"
            )
        query_id, doc_id = cells[0], cells[-2]
        relevance = _parse_relevance(cells[-1], where)
        before = qrels.setdefault(query_id, {}).setdefault(doc_id, relevance)
        if before != relevance:
            raise CorpusError(
                f"{where}: expected one judgment of {doc_id} for {query_id}, got {before} before and {relevance} here"
            )
    return qrels


def _parse_relevance(cell: str, where: str) -> int:
    """Return a whole number; 1.0 is 1, and 0.5 is refused, because trec_eval would read it as 0."""
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if not score.is_integer():
        raise CorpusError(f"{where}: expected a whole number as the score, got {cell!r}")
    return int(score)
