"""BM25 and hybrid search in the retrieval benchmark."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.results import Result
from benchmarks.retrieval.systems import IndexGroup, OpenIndex
from benchmarks.retrieval.vectors import EncodedTexts, Texts
from benchmarks.scale.figures import measurement_at
from benchmarks.scale.fixed_encoder import FixedEncoder, documents
from benchmarks.scale.recall import K, Rows
from hpdsearch import Encoder, Index
from hpdsearch.lexical import temporary_bm25_index

BM25 = "BM25"


def open_lexical(
    texts: Texts, group: IndexGroup, encoder: Encoder, n: int, work: Path, stack: ExitStack, *, rebuild: bool
) -> tuple[list[OpenIndex], list[Result]]:
    """Open BM25 and hybrid search over the first n documents; return both, and the measurements of building them.

    Args:
        texts: documents and queries.
        group: an encoder at one width, for the vectors of hybrid search.
        encoder: this encoder.
        n: number of documents.
        work: folder in which the hybrid index is kept.
        stack: closes both.
        rebuild: build an existing index again.
    """
    lexical, built = _bm25(texts, n, stack)
    hybrid, index, seconds = _hybrid(texts, group, encoder, n, work / group.vectors.key, rebuild=rebuild)
    stack.callback(index.close)
    disk = index.info().disk_bytes
    sizes = ((lexical, disk["lexical"]), (hybrid, disk["lexical"] + disk["codes"]))
    rows = [measurement_at(lexical.name, n, "build", "s", [built], **lexical.keys)]
    rows += [measurement_at(hybrid.name, n, "build", "s", [seconds], **hybrid.keys)]
    rows += [measurement_at(hybrid.name, n, "vectors on disk", "MB", [disk["vectors"] / 1e6], **hybrid.keys)]
    for system, size in sizes:
        rows += [measurement_at(system.name, n, "index on disk", "MB", [size / 1e6], **system.keys)]
        rows += [measurement_at(system.name, n, "bytes a document", "B", [size / n], **system.keys)]
    return [lexical, hybrid], rows


def _bm25(texts: Texts, n: int, stack: ExitStack) -> tuple[OpenIndex, float]:
    start = time.perf_counter()
    reader = stack.enter_context(temporary_bm25_index(islice(texts.documents, n)))
    seconds = time.perf_counter() - start
    keys = {"encoder": BM25, "dim": None, "index": "words", "kind": "words", "codec": ""}  # stored

    def search_all() -> Rows:
        return _pad_rows(reader.search(text, K)[0].tolist() for text in texts.query_texts)

    opened = OpenIndex(
        BM25, keys, {}, lambda text: reader.search(text, K), texts.query_texts, search_all, is_ours=False
    )
    return opened, seconds


def _hybrid(
    texts: Texts, group: IndexGroup, encoder: Encoder, n: int, work: Path, *, rebuild: bool
) -> tuple[OpenIndex, Index, float]:
    """Build and open a hybrid index with given vectors, so that its latency does not include encoding."""
    given = _fix_encoder(texts, group, encoder, n)
    folder = work / f"hybrid-{n}-dim-{group.dim}"
    record = folder.with_suffix(".json")
    if rebuild or not record.exists():
        start = time.perf_counter()
        Index.build(folder, documents(texts.documents[:n]), encoder=given, overwrite=True).close()
        record.write_text(json.dumps(time.perf_counter() - start))
    index = Index.open(folder, encoder=given)
    keys: dict[str, Any] = {"encoder": group.vectors.name, "dim": group.dim, "index": "hybrid"}
    keys |= {"kind": "hybrid", "codec": "+".join(dict.fromkeys(one["codec"] for one in index.info().segments))}
    about = {"segments": [f"{one['rows']} rows {one['kind']} {one['codec']}" for one in index.info().segments]}

    def search_all() -> Rows:
        return _pad_rows([int(hit.doc_id) for hit in index.search(text, K)] for text in texts.query_texts)

    name = f"{group.label} and {BM25}, {group.dim}, hybrid"
    opened = OpenIndex(name, keys, about, lambda text: index.search(text, K), texts.query_texts, search_all)
    return opened, index, json.loads(record.read_text())


def _fix_encoder(texts: Texts, group: IndexGroup, encoder: Encoder, n: int) -> Encoder:
    """Return an encoder with the given vectors of the queries and the first n documents."""
    assert isinstance(group.vectors, EncodedTexts)
    vectors = np.empty((n + len(texts.query_texts), encoder.model_dim), np.float16)
    at = 0
    for block in group.vectors.blocks(n):
        vectors[at : at + len(block)] = block
        at += len(block)
    vectors[n:] = group.vectors.query_vectors()
    return FixedEncoder(encoder, [*texts.documents[:n], *texts.query_texts], vectors).truncate(group.dim)


def _pad_rows(found: Iterator[Sequence[int]]) -> Rows:
    """Return found rows as an array (m, K); short lists are padded with -1."""
    return np.array([[*rows, *[-1] * (K - len(rows))] for rows in found], np.int64)
