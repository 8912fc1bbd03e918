"""Encode each text once per system and keep the vectors on disk, by system and collection."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common.harness import Command, run
from hpdsearch.common.files import atomic_write
from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.teacher.cache import MANIFEST, EmbeddingCache
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CacheError
from hpdsearch.evaluation import Collection, StsTask

Encode = Callable[[list[str]], Matrix]
Texts = Mapping[str, list[str]]  # a task's or collection's name -> its texts, each once


@dataclass(frozen=True)
class EncoderSource:
    """A source of vectors.

    Attributes:
        name: label in the tables.
        key: folder of the vectors in the cache; it must differ for every change that changes vectors.
        encode: texts -> float32 vectors (n, dim) at full width.
        adapt_queries: vectors of texts -> vectors (n, dim) of the same texts as queries.
    """

    name: str
    key: str
    encode: Encode
    adapt_queries: Callable[[Matrix], Matrix] = lambda vectors: vectors


def collect_texts(tasks: Sequence[StsTask], collections: Sequence[Collection]) -> dict[str, list[str]]:
    """Return the distinct texts of every task and collection, by its name; the queries of a collection come first."""
    found = {task.name: [text for first, second, _ in task.pairs for text in (first, second)] for task in tasks}
    for collection in collections:
        found[collection.name] = [*collection.queries.values(), *(text for _, text in collection.documents())]
    return {name: list(dict.fromkeys(texts)) for name, texts in found.items()}


def cached_encoder(source: EncoderSource, texts: Texts, cache: Path) -> Encode:
    """Return a lookup from texts to vectors (n, dim); first encode and store the texts that the cache lacks."""
    folder = cache / source.key
    folder.mkdir(parents=True, exist_ok=True)
    arrays = []
    for name, part in texts.items():
        path = folder / f"{name}-{hash_texts(part)}.npy"
        if not path.exists():
            print(f"{source.name}: encoding {len(part):,} texts of {name}", file=sys.stderr)
            with atomic_write(path) as file:
                np.save(file, source.encode(part).astype(np.float32))
        arrays.append(np.load(path))
    vectors = np.concatenate(arrays)
    rows = {text: row for row, text in enumerate(text for part in texts.values() for text in part)}
    return lambda wanted: vectors[[rows[text] for text in wanted]]


def hash_texts(texts: Sequence[str]) -> str:
    """Return a checksum of a list of texts."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def encoder_source(encoder: Encoder, name: str, backend: str) -> EncoderSource:
    """Return a loaded encoder, which has no prompts, as a source of vectors at full width."""
    source = EncoderSource(name, f"{encoder.name}-{encoder.sha256[7:19]}-{backend}", encoder.encode)
    return source if encoder.query_adapter is None else replace(source, adapt_queries=encoder.query_adapter)


def teacher_source(folder: Path) -> EncoderSource:
    """Load a sentence-transformers model in float32, with the pooling and maximum length of its own files."""
    import torch

    from hpdsearch.distillation.teacher.teacher import Teacher

    teacher = Teacher.load(folder, dtype=torch.float32)
    return EncoderSource(teacher.name, f"{teacher.name}-{teacher.sha256[:12]}", teacher.encode)


def open_teacher_cache(folder: Path) -> tuple[str, Encode]:
    """Return the teacher's name from a cache of its embeddings, and the lookup from texts to vectors.

    Raises:
        CacheError: the folder has no manifest. The lookup raises it for a text that is not in the cache.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CacheError(f"{folder}: expected a cache of teacher embeddings, but there is no {MANIFEST} in it")
    head = {key: json.loads(path.read_bytes())[key] for key in ("teacher", "teacher_hash", "dim")}
    return head["teacher"], EmbeddingCache(folder, **head).embeddings


def baseline_source(name: str, key: str, command: Command) -> EncoderSource:
    """Return a source that runs `command texts.json vectors.npy`."""

    def encode(texts: list[str]) -> Matrix:
        with tempfile.TemporaryDirectory() as scratch:
            text_file = Path(scratch) / "texts.json"
            vector_file = Path(scratch) / "vectors.npy"
            text_file.write_text(json.dumps(texts), encoding="utf-8")
            run([*command, text_file, vector_file])
            vectors: Matrix = np.load(vector_file)
            return vectors

    return EncoderSource(name, key, encode)
