"""Make small data sets from files that ship with the project, for `python -m benchmarks quick`.

The sentence pairs in data/sts were written for this purpose. The retrieval collection is a reversed dictionary: the
query is a word, and the relevant document is its definition without the word and its usage examples. The encoders were
trained on the same dictionary, so the scores test the harness and do not measure quality.
"""

import json
import random
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.common.harness import BENCHMARKS, SAMPLE
from benchmarks.common.mixed_corpus import LONGEST, SHORTEST
from hpdsearch.corpus import read_corpus
from hpdsearch.records import Document

STS = BENCHMARKS / "data" / "sts"
NAME = "definitions"
N_DOCUMENTS, N_QUERIES = 1500, 200
SEED = 6
USAGE = re.compile(r"""\s*"[^"]*"[.;]?""")  # quoted usage examples follow the definition


def make_quick_data(folder: Path) -> list[Path]:
    """Write sts/, retrieval/ and files of haystack texts, and return these files.

    Args:
        folder: output folder; existing contents are deleted.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(STS, folder / "sts")
    entries = list(_short_definitions(read_corpus(SAMPLE)))
    random.Random(SEED).shuffle(entries)
    judged, rest = entries[:N_DOCUMENTS], entries[N_DOCUMENTS:]
    collection = folder / "retrieval" / NAME
    (collection / "qrels").mkdir(parents=True)
    _write(collection / "corpus.jsonl", ({"_id": one.doc_id, "title": "", "text": one.text} for one in judged))
    queries = [(f"q{number}", one) for number, one in enumerate(judged[:N_QUERIES])]
    _write(collection / "queries.jsonl", ({"_id": query_id, "text": one.title} for query_id, one in queries))
    lines = ["query-id\tcorpus-id\tscore", *(f"{query_id}\t{one.doc_id}\t1" for query_id, one in queries)]
    (collection / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    fill = folder / "fill.txt"
    fill.write_text("".join(f"{one.text}\n" for one in rest), encoding="utf-8")
    return [fill]


def _short_definitions(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield each short definition once, without usage examples."""
    seen: set[str] = set()
    for one in documents:
        definition = USAGE.sub("", one.text).strip()
        if SHORTEST <= len(definition) <= LONGEST and definition not in seen:
            seen.add(definition)
            yield Document(one.doc_id, definition, title=one.title)


def _write(path: Path, records: Iterable[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
