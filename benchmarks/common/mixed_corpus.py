"""Hide judged collections in a haystack of other texts, so that search must find their documents among all of them.

One run then measures quality, speed and memory of the same index, at sizes that no small judged collection has.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.harness import file_identity, open_bytes
from hpdsearch.common.files import file_sha256
from hpdsearch.evaluation import Collection

SHORTEST, LONGEST = 10, 70  # characters of a haystack text
SEED = 5


@dataclass(frozen=True)
class MixedCorpus:
    """Documents, the judged ones first, and queries.

    Attributes:
        documents: doc_id -> text; "COLLECTION/ID" is judged, "text/NUMBER" is haystack.
        n_judged: number of judged documents.
        queries: query_id -> text.
        qrels: query_id -> doc_id -> grade.
        about: description for the result file.
    """

    documents: Mapping[str, str]
    n_judged: int
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    about: Mapping[str, Any]


def select_collections(collections: Sequence[Collection], names: Sequence[str]) -> list[Collection]:
    """Return the collections with these names, in the order of `collections`, so that the order of names has no effect.

    Raises:
        SystemExit: a name is unknown.
    """
    found = {each.name: each for each in collections}
    if missing := [name for name in names if name not in found]:
        raise SystemExit(f"--mix: expected some of {', '.join(found)}, got {', '.join(missing)}")
    return [each for each in collections if each.name in names]


def mix_corpus(collections: Sequence[Collection], fill: Sequence[Path], n: int, *, seed: int = SEED) -> MixedCorpus:
    """Return n documents: those of the collections, then short texts in a seeded order.

    With equal collections, files and seed, a smaller n gives the first documents of a larger n.

    Args:
        collections: judged collections; their doc_ids get the collection's name as prefix.
        fill: files of haystack texts, one per line, also .gz; lines of SHORTEST to LONGEST characters are used.
        n: number of documents.
        seed: seed of the order.

    Raises:
        SystemExit: the collections have more than n documents, or the files have too few texts.
    """
    documents = {f"{each.name}/{doc_id}": text for each in collections for doc_id, text in each.documents()}
    n_judged = len(documents)
    if n_judged > n:
        raise SystemExit(f"expected collections of at most {n:,} documents, got {n_judged:,}: take fewer of them")
    # The order of a set differs between runs.
    candidates = sorted(set(_read_lines(fill)) - set(documents.values()))
    if len(candidates) < n - n_judged:
        raise SystemExit(f"expected {n - n_judged:,} different short texts to mix in, got {len(candidates):,}")
    random.Random(seed).shuffle(candidates)
    documents |= {f"text/{number}": text for number, text in enumerate(candidates[: n - n_judged])}
    return MixedCorpus(
        documents,
        n_judged,
        {f"{each.name}/{query_id}": query for each in collections for query_id, query in each.queries.items()},
        {
            f"{each.name}/{query_id}": {f"{each.name}/{doc_id}": grade for doc_id, grade in judged.items()}
            for each in collections
            for query_id, judged in each.qrels.items()
        },
        {
            "judged": [{"name": each.name, "sha256": file_sha256(each.corpus)} for each in collections],
            "n_judged": n_judged,
            "n_queries": sum(len(each.queries) for each in collections),
            "mixed in": [file_identity(path) for path in sorted(fill)],
            "characters": [SHORTEST, LONGEST],
            "seed": seed,
        },
    )


def _read_lines(paths: Iterable[Path]) -> Iterable[str]:
    for path in paths:
        with open_bytes(path) as file:
            for line in file:
                text = line.decode().strip()
                if SHORTEST <= len(text) <= LONGEST:
                    yield text
