"""The teacher: the large model whose embeddings a student learns, opened from its own files, run in token batches."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hpdsearch.common.progress import SILENT, Bar, Progress
from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.teacher.cache import EmbeddingCache
from hpdsearch.distillation.teacher.folder import (
    POOLER,
    TeacherFolder,
    find_teacher_folder,
    open_transformer,
    read_teacher_folder,
)
from hpdsearch.distillation.workers import Workers
from hpdsearch.encoder.torch_backend import best_device
from hpdsearch.errors import EncoderError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BLOCK = 4096  # texts tokenized at once and batched by length
SHARD = 2048  # texts embedded between two writes to the cache
TOKEN_BUDGET = {"cpu": 2048}  # tokens a batch
GPU_TOKEN_BUDGET = 16384
PADDING = 32  # at most this part of the budget goes to padding
CLEARLY_FASTER = 1.3
BFLOAT16_VARIABLE = "HPDSEARCH_BFLOAT16"
# What a config.json says without deciding the vectors: they are computed from float32 weights wherever these came from.
INCIDENTAL = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


class Teacher:
    """Turns texts into unit vectors, whatever its own last module does: the space is about cosines.

    Attributes:
        name: the last part of the folder's path or of the name on the hub.
        hash: sha256, in hexadecimal, of all that decides the vectors: weights, config, tokenizer, pooling, prompt,
            longest input. Not of dtype: bfloat16 blurs the same vectors.
        dim: width of the vectors.
        max_tokens: the longest input, special tokens included; a longer text is truncated to it.
        tokenizer: without truncation and padding; sets the model's special tokens.
        device: where the model runs.
        dtype: float32, or bfloat16 for the matrix products only.
    """

    def __init__(
        self,
        name: str,
        parts: TeacherFolder,
        *,
        model: nn.Module,
        tokenizer: Any,
        config: dict[str, Any],
        device: str,
        dtype: torch.dtype,
    ) -> None:
        self.name = name
        self.device = device
        self.dtype = dtype
        self.tokenizer: Tokenizer = tokenizer.backend_tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.max_tokens = _max_tokens(parts, model, tokenizer)
        self.sha256 = _hash(parts, model, self.tokenizer, config, self.max_tokens)
        self._truncating = type(self.tokenizer).from_str(self.tokenizer.to_str())
        self._truncating.enable_truncation(self.max_tokens)
        self._pad_id = tokenizer.pad_token_id or 0
        self._parts = parts
        self._model = model.to(device)
        self._head = parts.head.to(device).eval()
        self._n_unpooled = (
            0 if parts.pools_prompt or not parts.prompt else _n_prompt_tokens(self.tokenizer, parts.prompt)
        )
        self.dim = 0
        self.dim = self._forward([self.tokenizer.encode("a").ids]).shape[1]

    @classmethod
    def load(
        cls, name_or_folder: str | Path, *, device: str | None = None, dtype: torch.dtype | None = None
    ) -> "Teacher":
        """Open a teacher.

        Args:
            name_or_folder: a sentence-transformers folder (Transformer, Pooling, then Dense and Normalize), a plain
                transformers folder (mean over the tokens), or the name of either on the Hugging Face hub.
            device: of torch; None for a GPU if there is one.
            dtype: torch.float32 or torch.bfloat16; None for what a short measurement finds faster on the device.

        Raises:
            EncoderError: there is no such teacher, it cannot be opened, or it needs a module that is not known.
        """
        if dtype not in (None, torch.float32, torch.bfloat16):
            raise EncoderError(f"dtype: expected torch.float32 or torch.bfloat16, got {dtype}")
        folder = find_teacher_folder(name_or_folder)
        name = folder.resolve().name if Path(name_or_folder).expanduser().is_dir() else Path(name_or_folder).name
        device = device or best_device()
        try:
            parts = read_teacher_folder(folder)
            model, tokenizer = open_transformer(parts.transformer)
            config = json.loads((parts.transformer / "config.json").read_bytes())
            dtype = dtype or fastest_dtype(device)
            return cls(name, parts, model=model, tokenizer=tokenizer, config=config, device=device, dtype=dtype)
        except EncoderError:
            raise
        except Exception as error:  # transformers and torch raise every kind for files that they cannot read
            raise EncoderError(f"{folder}: cannot be opened as a teacher: {type(error).__name__}: {error}") from error

    def encode(self, texts: Sequence[str], *, progress: Progress = SILENT) -> Matrix:
        """Return the texts' vectors, float32 (n, dim), rows of length 1, in the order of the texts.

        A text of more than max_tokens tokens, its prompt and special tokens included, is truncated. In float32 a vector
        does not depend on the other texts beyond 1e-5.

        Args:
            texts: any number.
            progress: counts the texts.
        """
        bar = progress.phase("teacher", total=len(texts), unit="text")
        try:
            return self._encode(texts, bar)
        finally:
            bar.close()

    def _encode(self, texts: Sequence[str], bar: Bar) -> Matrix:
        if isinstance(texts, str):
            raise EncoderError("texts: expected a list of strings, got one string; write [text]")
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        budget, counted = TOKEN_BUDGET.get(self.device, GPU_TOKEN_BUDGET), Lock()

        def fill(batches: list[list[int]]) -> None:
            # Autocast around all batches: it keeps the bfloat16 copies of the weights until its block ends.
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.dtype is torch.bfloat16):
                for batch in batches:
                    vectors[[first + position for position in batch]] = self._forward([ids[p] for p in batch])
                    with counted:
                        bar.update(len(batch))

        with Workers(None if self.device == "cpu" else 1) as workers:
            for first in range(0, len(texts), BLOCK):
                ids = self._ids(texts[first : first + BLOCK])
                batches = list(near_equal_batches([len(of_text) for of_text in ids], token_budget=budget))
                workers.map(fill, [batches[number :: workers.n_threads] for number in range(workers.n_threads)])
        return vectors

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids, truncated, at least one."""
        prompted = [self._parts.prompt + text for text in texts]
        if self._parts.lower_case:
            prompted = [text.lower() for text in prompted]
        return [encoding.ids or [self._pad_id] for encoding in self._truncating.encode_batch_fast(prompted)]

    @torch.inference_mode()
    def _forward(self, ids: list[list[int]]) -> Matrix:
        """Return the unit vectors (n, dim) of n texts' token ids."""
        width = max(map(len, ids))
        tokens = torch.tensor([of_text + [self._pad_id] * (width - len(of_text)) for of_text in ids])
        mask = torch.tensor([[1] * len(of_text) + [0] * (width - len(of_text)) for of_text in ids])  # (n, width)
        tokens, mask = tokens.to(self.device), mask.to(self.device)
        hidden = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
        mask[:, : self._n_unpooled] = 0
        pooled = torch.cat([mode(hidden, mask) for mode in self._parts.pooling], dim=1)
        vectors: Matrix = functional.normalize(self._head(pooled).float()).cpu().numpy()
        return vectors


def open_cache(teacher: Teacher, root: Path | None = None) -> EmbeddingCache:
    """Open the cache of a teacher's embeddings, a folder of its own in root.

    Args:
        teacher: it.
        root: holds the caches of all teachers; None for hpdsearch/teachers in the user's cache folder.

    Raises:
        CacheError: the folder cannot be made or read.
    """
    if root is None:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpdsearch" / "teachers"
    folder = root / f"{teacher.name}-{teacher.sha256[:12]}"
    return EmbeddingCache(folder, teacher=teacher.name, teacher_hash=teacher.sha256, dim=teacher.dim)


def embed(
    teacher: Teacher,
    texts: Sequence[str],
    cache: EmbeddingCache,
    *,
    progress: Progress = SILENT,
    texts_a_shard: int = SHARD,
) -> None:
    """Embed the texts that the cache lacks; whatever ends this loses at most one shard of work.

    Args:
        teacher: whose embeddings the cache holds.
        texts: any number, in any order, repeated or not; only the embeddings of one shard are held in memory.
        cache: is given the embeddings.
        progress: counts the texts; those already in the cache are done at once.
        texts_a_shard: texts between two writes.

    Raises:
        CacheError: another process is writing to the cache, or the disk is full.
    """
    bar = progress.phase("teacher embeddings", total=len(texts), unit="text")
    try:
        if next(cache.missing(texts), None) is None:
            bar.update(len(texts))
            return  # without the writer's lock, which another process may hold for hours
        with cache.writing():
            missing = list(cache.missing(texts))
            bar.update(len(texts) - len(missing))
            for first in range(0, len(missing), texts_a_shard):
                shard = missing[first : first + texts_a_shard]
                cache.add(shard, teacher._encode(shard, bar))
    finally:
        bar.close()


def near_equal_batches(lengths: Sequence[int], *, token_budget: int) -> Iterator[list[int]]:
    """Yield the positions of texts that share a batch, longest first.

    A batch holds at most token_budget tokens, padding included, and a PADDING-th of that in padding: where many texts
    have one length there is none, and a few texts of different lengths do not run one by one. A text that is longer
    than the budget is a batch by itself.
    """
    batch: list[int] = []
    width = padding = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        padding += width - lengths[position]
        if batch and ((len(batch) + 1) * width > token_budget or padding * PADDING > token_budget):
            yield batch
            batch = []
        if not batch:
            width, padding = lengths[position], 0
        batch.append(position)
    if batch:
        yield batch


@cache
def fastest_dtype(device: str) -> torch.dtype:
    """Return bfloat16 if matrix products of a teacher's size are clearly faster in it on the device, else float32.

    The environment variable HPDSEARCH_BFLOAT16 decides instead: 1 for bfloat16, 0 for float32. Without it both are
    measured, which takes half a second: processors that can compute in bfloat16 often do so more slowly.

    Raises:
        EncoderError: HPDSEARCH_BFLOAT16 is neither 0 nor 1.
    """
    forced = os.environ.get(BFLOAT16_VARIABLE, "")
    if forced not in ("", "0", "1"):
        raise EncoderError(f"{BFLOAT16_VARIABLE}: expected 0 or 1, got {forced!r}")
    if forced:
        return torch.bfloat16 if forced == "1" else torch.float32
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        tokens, weight = (torch.ones(rows, 768, device=device, dtype=dtype) for rows in (256, 3072))
        seconds[dtype] = min(_seconds(tokens, weight) for _ in range(4))  # the first one warms up
    return torch.bfloat16 if seconds[torch.float32] > CLEARLY_FASTER * seconds[torch.bfloat16] else torch.float32


def _seconds(tokens: torch.Tensor, weight: torch.Tensor) -> float:
    start = time.perf_counter()
    functional.linear(tokens, weight)[0, 0].item()  # waits for a GPU
    return time.perf_counter() - start


def _n_prompt_tokens(tokenizer: "Tokenizer", prompt: str) -> int:
    """Return how many tokens stand before a text: the prompt's, and the special ones before it."""
    encoding = tokenizer.encode(prompt)
    n_tokens = len(encoding.ids)
    while n_tokens and encoding.special_tokens_mask[n_tokens - 1]:
        n_tokens -= 1
    return n_tokens


def _max_tokens(parts: TeacherFolder, model: nn.Module, tokenizer: Any) -> int:
    """Return the longest input: what the folder says, else the least of what tokenizer and position table take."""
    positions = getattr(model.config, "max_position_embeddings", None) or 0
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            positions -= module.padding_idx + 1  # RoBERTa and MPNet count positions from there
    limits = [limit for limit in (positions, tokenizer.model_max_length) if 0 < limit < 10**9]
    if parts.max_tokens is None and not limits:
        raise EncoderError(
            f"{parts.transformer}: no longest input is given; set max_seq_length in sentence_bert_config.json"
        )
    if parts.max_tokens is not None and 0 < positions < parts.max_tokens:
        raise EncoderError(f"{parts.transformer}: max_seq_length: expected at most {positions}, got {parts.max_tokens}")
    return parts.max_tokens or min(limits)


def _hash(
    parts: TeacherFolder, model: nn.Module, tokenizer: "Tokenizer", config: dict[str, Any], max_tokens: int
) -> str:
    said = {key: value for key, value in config.items() if key not in INCIDENTAL}
    settings = parts.settings | {"config": said, "tokenizer": tokenizer.to_str(), "max_tokens": max_tokens}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    tensors = [(name, tensor) for name, tensor in model.state_dict().items() if not name.startswith(POOLER)]
    for name, tensor in [*tensors, *parts.head.state_dict(prefix="head.").items()]:
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).reshape(-1).data)
    return digest.hexdigest()
