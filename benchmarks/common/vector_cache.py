"""Encode each text once per system and keep the vectors on disk, by system and collection."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
        name: shown in the tables.
        key: folder of its vectors in the cache; another key for all that makes other vectors.
        encode: texts -> vectors (n, full width).
    """

    name: str
    key: str
    encode: Encode


def collect_texts(tasks: Sequence[StsTask], collections: Sequence[Collection]) -> dict[str, list[str]]:
    """Return the texts of every task and collection (its queries first), each once a task or collection."""
    found = {task.name: [text for first, second, _ in task.pairs for text in (first, second)] for task in tasks}
    for collection in collections:
        found[collection.name] = [*collection.queries.values(), *(text for _, text in collection.documents())]
    return {name: list(dict.fromkeys(texts)) for name, texts in found.items()}


def cached_encoder(source: EncoderSource, texts: Texts, cache: Path) -> Encode:
    """Return a function that gives the vectors of any of the texts; what the cache lacks is encoded now and kept."""
    folder = cache / source.key
    folder.mkdir(parents=True, exist_ok=True)
    arrays = []
    for name, of_part in texts.items():
        path = folder / f"{name}-{hash_texts(of_part)}.npy"
        if not path.exists():
            print(f"{source.name}: encodes {len(of_part):,} texts of {name}", file=sys.stderr)
            with atomic_write(path) as file:
                np.save(file, source.encode(of_part).astype(np.float32))
        arrays.append(np.load(path))
    vectors = np.concatenate(arrays)
    rows = {text: row for row, text in enumerate(text for of_part in texts.values() for text in of_part)}
    return lambda asked: vectors[[rows[text] for text in asked]]


def hash_texts(texts: Sequence[str]) -> str:
    """Return what tells a list of texts from any other."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def encoder_source(encoder: Encoder, name: str, backend: str) -> EncoderSource:
    """Return an encoder that was loaded with a backend, at its full width."""
    return EncoderSource(name, f"{encoder.name}-{encoder.sha256[7:19]}-{backend}", encoder.encode)


def teacher_source(folder: Path) -> EncoderSource:
    """Return a model by its own files: its own pooling, its own longest input; in float32."""
    import torch

    from hpdsearch.distillation.teacher.teacher import Teacher

    teacher = Teacher.load(folder, dtype=torch.float32)
    return EncoderSource(teacher.name, f"{teacher.name}-{teacher.sha256[:12]}", teacher.encode)


def open_teacher_cache(folder: Path) -> tuple[str, Encode]:
    """Return the name of the teacher whose embeddings a cache folder holds, by its manifest, and what gives them.

    Raises:
        CacheError: there is no such cache; later: a text is not in it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CacheError(f"{folder}: expected a cache of teacher embeddings, but there is no {MANIFEST} in it")
    head = {key: json.loads(path.read_bytes())[key] for key in ("teacher", "teacher_hash", "dim")}
    return head["teacher"], EmbeddingCache(folder, **head).embeddings


def baseline_source(name: str, key: str, command: Command) -> EncoderSource:
    """Return a program that is run as `command texts.json vectors.npy`."""

    def encode(texts: list[str]) -> Matrix:
        with tempfile.TemporaryDirectory() as scratch:
            asked, made = Path(scratch) / "texts.json", Path(scratch) / "vectors.npy"
            asked.write_text(json.dumps(texts), encoding="utf-8")
            run([*command, asked, made])
            vectors: Matrix = np.load(made)
            return vectors

    return EncoderSource(name, key, encode)
