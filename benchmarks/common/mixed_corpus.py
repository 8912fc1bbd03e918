"""A judged collection in a haystack of other texts: search must find its documents among all of them.

So one run gives quality, speed and memory of the same index, at sizes that no small judged collection has.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.harness import file_identity, open_bytes
from hpdsearch.common.files import file_sha256
from hpdsearch.evaluation import Collection

SHORTEST, LONGEST = 10, 70  # characters of a text that is mixed in
SEED = 5


@dataclass(frozen=True)
class MixedCorpus:
    """Documents, the judged ones first, and queries.

    Attributes:
        documents: doc_id -> text; "COLLECTION/ID" are judged, "text/NUMBER" are not.
        n_judged: of them.
        queries: query_id -> text.
        qrels: query_id -> doc_id -> grade.
        about: what a result file says of it.
    """

    documents: Mapping[str, str]
    n_judged: int
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    about: Mapping[str, Any]


def select_collections(collections: Sequence[Collection], names: Sequence[str]) -> list[Collection]:
    """Return the collections of these names, in the order of the collections: the same texts whatever order is asked.

    Raises:
        SystemExit: one is not there.
    """
    found = {each.name: each for each in collections}
    if missing := [name for name in names if name not in found]:
        raise SystemExit(f"--mix: expected some of {', '.join(found)}, got {', '.join(missing)}")
    return [each for each in collections if each.name in names]


def mix_corpus(collections: Sequence[Collection], fill: Sequence[Path], n: int, *, seed: int = SEED) -> MixedCorpus:
    """Return n documents: those of the collections, then short texts in a seeded order.

    Of equal collections, files and seed, a smaller n gives the first documents of a larger one.

    Args:
        collections: judged; their ids get the collection's name in front.
        fill: files of texts to mix in, one a line, also .gz; lines of SHORTEST to LONGEST characters are taken.
        n: how many documents.
        seed: of the order.

    Raises:
        SystemExit: the collections hold more than n documents, or the files too few texts.
    """
    documents = {f"{of.name}/{doc_id}": text for of in collections for doc_id, text in of.documents()}
    n_judged = len(documents)
    if n_judged > n:
        raise SystemExit(f"expected collections of at most {n:,} documents, got {n_judged:,}: take fewer of them")
    candidates = sorted(
        set(_read_lines(fill)) - set(documents.values())
    )  # sorted: a set's order differs from run to run
    if len(candidates) < n - n_judged:
        raise SystemExit(f"expected {n - n_judged:,} different short texts to mix in, got {len(candidates):,}")
    random.Random(seed).shuffle(candidates)
    documents |= {f"text/{number}": text for number, text in enumerate(candidates[: n - n_judged])}
    return MixedCorpus(
        documents,
        n_judged,
        {f"{of.name}/{query_id}": query for of in collections for query_id, query in of.queries.items()},
        {
            f"{of.name}/{query_id}": {f"{of.name}/{doc_id}": grade for doc_id, grade in judged.items()}
            for of in collections
            for query_id, judged in of.qrels.items()
        },
        {
            "judged": [{"name": of.name, "sha256": file_sha256(of.corpus)} for of in collections],
            "n_judged": n_judged,
            "n_queries": sum(len(of.queries) for of in collections),
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
