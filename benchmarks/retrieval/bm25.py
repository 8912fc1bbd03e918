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
    """Return BM25 and hybrid search among the first n documents, and what building them took.

    Args:
        texts: all.
        group: whose vectors hybrid search takes: an encoder's, at one width.
        encoder: that one.
        n: documents.
        work: where the whole index is kept.
        stack: closes them.
        rebuild: build again what is there.
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
    keys = {"encoder": BM25, "dim": None, "index": "words", "kind": "words", "codec": ""}

    def found() -> Rows:
        return _pad_rows(reader.search(text, K)[0].tolist() for text in texts.questions)

    asked = OpenIndex(BM25, keys, {}, lambda text: reader.search(text, K), texts.questions, found, is_ours=False)
    return asked, seconds


def _hybrid(
    texts: Texts, group: IndexGroup, encoder: Encoder, n: int, work: Path, *, rebuild: bool
) -> tuple[OpenIndex, Index, float]:
    """Return hybrid search in a whole index whose vectors are given: its time is all but the encoding."""
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

    def found() -> Rows:
        return _pad_rows([int(hit.doc_id) for hit in index.search(text, K)] for text in texts.questions)

    name = f"{group.label} and {BM25}, {group.dim}, hybrid"
    asked = OpenIndex(name, keys, about, lambda text: index.search(text, K), texts.questions, found)
    return asked, index, json.loads(record.read_text())


def _fix_encoder(texts: Texts, group: IndexGroup, encoder: Encoder, n: int) -> Encoder:
    """Return an encoder with the known vectors of the queries and the first n documents."""
    assert isinstance(group.vectors, EncodedTexts)
    vectors = np.empty((n + len(texts.questions), encoder.model_dim), np.float16)
    at = 0
    for block in group.vectors.blocks(n):
        vectors[at : at + len(block)] = block
        at += len(block)
    vectors[n:] = group.vectors.questions()
    return FixedEncoder(encoder, [*texts.documents[:n], *texts.questions], vectors).truncate(group.dim)


def _pad_rows(found: Iterator[Sequence[int]]) -> Rows:
    """Return the rows (m, K) that were found, short ones filled with -1."""
    return np.array([[*rows, *[-1] * (K - len(rows))] for rows in found], np.int64)
