"""The teacher: the large model whose embeddings a student learns. It is opened from its folder and run in batches."""

import copy
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import nn
from torch.nn import functional

from hpdsearch.common.files import parse_json
from hpdsearch.common.progress import SILENT, Bar, Progress, skip
from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.export.model_card import UNKNOWN_LICENSE, read_license
from hpdsearch.distillation.teacher.cache import EmbeddingCache
from hpdsearch.distillation.teacher.folder import (
    POOLER,
    TeacherFolder,
    find_teacher_folder,
    open_transformer,
    read_teacher_folder,
)
from hpdsearch.distillation.teacher.prompts import Prompts
from hpdsearch.distillation.teacher.runtime import Runtime, TeacherTransformer
from hpdsearch.distillation.workers import Workers
from hpdsearch.encoder.batches import length_batches
from hpdsearch.encoder.device import Device, find_device
from hpdsearch.encoder.torch_backend import torch_device
from hpdsearch.errors import EncoderError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BLOCK = 4096  # texts tokenized at once and batched by length
SHARD = 2048  # texts embedded between two writes to the cache
TOKEN_BUDGET = {"cpu": 2048}  # tokens a batch
GPU_TOKEN_BUDGET = 16384
PADDING_SHARE = 1 / 32  # of the budget
# So many texts are worth the time in which openvino converts and compiles a teacher: several seconds.
MIN_TEXTS_TO_CHOOSE = 10_000
TRIAL_TEXTS, TRIAL_TOKENS = 8, 64
logger = logging.getLogger(__name__)
# Keys of config.json that do not change the vectors, which are computed from float32 weights in every case.
INCIDENTAL = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


class Teacher:
    """The large model. It maps texts to unit vectors, with or without a Normalize module, because spaces use cosines.

    Attributes:
        name: the last part of the folder's path or of the name on the hub.
        sha256: hexadecimal, of everything that determines the vectors: weights, config, tokenizer, pooling, prompt of
            documents, longest input. dtype is not part of it.
        dim: width of the vectors.
        max_tokens: longest input, special tokens included; longer texts are truncated.
        tokenizer: without truncation and padding; it adds the model's special tokens.
        device: of torch.
        license: as its model card states it.
        parts: the settings of its folder.
        pad_id: the token that a text without tokens consists of.
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
        runtime: Runtime | None = None,
        license: str = UNKNOWN_LICENSE,
    ) -> None:
        self.name = name
        self.license = license
        self.device = device
        self.tokenizer: Tokenizer = tokenizer.backend_tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.max_tokens = _read_max_tokens(parts, model, tokenizer)
        self.sha256 = _compute_sha256(parts, model, self.tokenizer, config, self.max_tokens)
        self._truncating = type(self.tokenizer).from_str(self.tokenizer.to_str())
        self._truncating.enable_truncation(self.max_tokens)
        self.pad_id = tokenizer.pad_token_id or 0
        self.parts = parts
        self._transformer = TeacherTransformer(model, device, runtime)
        self._head = parts.head.to(device).eval()
        self._n_unpooled = self._count_unpooled()
        self.dim = 0
        self.dim = self._forward([self.tokenizer.encode("a").ids]).shape[1]

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        *,
        device: str | Device = Device.AUTO,
        dtype: torch.dtype | None = None,
        prompts: Prompts | None = None,
    ) -> "Teacher":
        """Open a teacher.

        Args:
            name_or_folder: a sentence-transformers folder (Transformer, Pooling, then Dense and Normalize), a plain
                transformers folder (mean over the tokens), or the name of either on the Hugging Face hub.
            device: "cpu", "cuda" (a GPU), or "auto": a GPU if torch finds one.
            dtype: torch.float32 or torch.bfloat16, by torch; None for the fastest runtime, see `choose_runtime`.
            prompts: set before documents and queries; those that are None are the folder's or the family's.

        Raises:
            EncoderError: there is no such teacher or device, it cannot be opened, or it names an unknown module.
        """
        runtimes = {None: None, torch.float32: Runtime.FLOAT32, torch.bfloat16: Runtime.BFLOAT16}
        if dtype not in runtimes:
            raise EncoderError(f"dtype: expected torch.float32 or torch.bfloat16, got {dtype}")
        runtime = runtimes[dtype]
        folder = find_teacher_folder(name_or_folder)
        name = folder.resolve().name if Path(name_or_folder).expanduser().is_dir() else Path(name_or_folder).name
        on = torch_device(find_device(device))
        try:
            parts = read_teacher_folder(folder, prompts, name=name)
            model, tokenizer = open_transformer(parts.transformer)
            config = parse_json((parts.transformer / "config.json").read_bytes())
            return cls(
                name,
                parts,
                model=model,
                tokenizer=tokenizer,
                config=config,
                device=on,
                runtime=runtime,
                license=read_license(folder),
            )
        except EncoderError:
            raise
        except Exception as error:  # transformers and torch raise many types for files that they cannot read
            raise EncoderError(f"{folder}: cannot be opened as a teacher: {type(error).__name__}: {error}") from error

    def for_queries(self) -> "Teacher":
        """Return this teacher with the query prompt before each text; it shares the model."""
        if self.parts.query_prompt == self.parts.prompt:
            return self
        other = copy.copy(self)
        other.parts = replace(self.parts, prompt=self.parts.query_prompt)
        other.sha256 = hashlib.sha256(json.dumps([self.sha256, self.parts.query_prompt]).encode()).hexdigest()
        other._n_unpooled = other._count_unpooled()
        return other

    @property
    def model(self) -> nn.Module:
        """The Transformer, a model of transformers."""
        return self._transformer.model

    def encode(self, texts: Sequence[str], *, progress: Progress = SILENT) -> Matrix:
        """Encode documents as float32 vectors (n, dim), rows of unit length, in the order of the texts.

        A text is truncated to max_tokens tokens, its prompt and special tokens included. In float32, the other texts
        change a vector by at most 1e-5.

        Args:
            texts: any number of texts.
            progress: counts the texts.

        Raises:
            EncoderError: texts is one string instead of a list.
        """
        if isinstance(texts, str):
            raise EncoderError("texts: expected a list of strings, got one string; write [text]")
        self.choose_runtime(texts)
        bar = progress.phase("teacher", total=len(texts), unit="text")
        try:
            return self._encode(texts, bar)
        finally:
            bar.close()

    @property
    def runtime(self) -> Runtime:
        """The library and precision that run the Transformer."""
        return self._transformer.runtime

    def choose_runtime(self, texts: Sequence[str]) -> None:
        """Choose the fastest runtime on the first of many texts that will be encoded; few texts choose nothing.

        Without it, torch runs in the faster precision.
        """
        if len(texts) < MIN_TEXTS_TO_CHOOSE:
            return
        ids = [of_text[:TRIAL_TOKENS] for of_text in self._ids(texts[:TRIAL_TEXTS])]
        with Workers(1) as workers:  # on one core, as each of the workers in _encode
            self._transformer.choose(self.sha256, self._pad(ids), self._pool, threads=workers.n_cores)
        logger.info("teacher %s: %s", self.name, self.runtime.value)

    def _encode(self, texts: Sequence[str], bar: Bar) -> Matrix:
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        budget = TOKEN_BUDGET.get(self.device, GPU_TOKEN_BUDGET)
        bar_lock = Lock()

        def fill(batches: list[list[int]]) -> None:
            # One autocast context for all batches, because it caches the bfloat16 copies of the weights until it ends.
            with self._transformer.autocast():
                for batch in batches:
                    vectors[[first + position for position in batch]] = self._forward([ids[p] for p in batch])
                    with bar_lock:
                        bar.update(len(batch))

        with Workers(None if self.device == "cpu" else 1) as workers:
            for first in range(0, len(texts), BLOCK):
                ids = self._ids(texts[first : first + BLOCK])
                batches = list(length_batches(list(map(len, ids)), token_budget=budget, padding_share=PADDING_SHARE))
                # From the longest to the shortest batch, the time left would be far too long at first.
                np.random.default_rng(first).shuffle(batches)
                workers.map(fill, [batches[number :: workers.n_threads] for number in range(workers.n_threads)])
        return vectors

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenize texts with the prompt, truncated. A text without tokens gets the padding token."""
        prompted = [self.parts.prompt + text for text in texts]
        if self.parts.lower_case:
            prompted = [text.lower() for text in prompted]
        return [encoding.ids or [self.pad_id] for encoding in self._truncating.encode_batch_fast(prompted)]

    def _count_unpooled(self) -> int:
        """Return the number of leading tokens that are not pooled: those of the prompt, in few models."""
        parts = self.parts
        return 0 if parts.pools_prompt or not parts.prompt else _count_prompt_tokens(self.tokenizer, parts.prompt)

    @torch.inference_mode()
    def _forward(self, ids: list[list[int]]) -> Matrix:
        """Compute the unit vectors (n, dim) of n texts from their token ids."""
        tokens, mask = self._pad(ids)
        return self._pool(self._transformer(tokens, mask), mask)

    def _pad(self, ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token ids and mask, int64 (n, tokens), on the device."""
        width = max(map(len, ids))
        tokens = torch.tensor([of_text + [self.pad_id] * (width - len(of_text)) for of_text in ids])
        mask = torch.tensor([[1] * len(of_text) + [0] * (width - len(of_text)) for of_text in ids])  # (n, width)
        return tokens.to(self.device), mask.to(self.device)

    def _pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> Matrix:
        """Return the unit vectors (n, dim) from token vectors (n, tokens, hidden) and their mask."""
        mask = mask.clone()
        mask[:, : self._n_unpooled] = 0
        pooled = torch.cat([mode(hidden, mask) for mode in self.parts.pooling], dim=1)
        vectors: Matrix = functional.normalize(self._head(pooled).float()).cpu().numpy()
        return vectors


def open_cache(teacher: Teacher, root: Path | None = None) -> EmbeddingCache:
    """Open the cache of a teacher's embeddings, a sub-folder of root.

    Args:
        teacher: the name and hash of the teacher name the sub-folder.
        root: folder of all teachers' caches; None for hpdsearch/teachers in the user's cache folder.

    Raises:
        CacheError: the folder cannot be created or read.
    """
    if root is None:
        root = user_cache_path("hpdsearch", appauthor=False) / "teachers"
    folder = root / f"{teacher.name}-{teacher.sha256[:12]}"
    return EmbeddingCache(folder, teacher=teacher.name, teacher_hash=teacher.sha256, dim=teacher.dim)


def embed(
    teacher: Teacher,
    texts: Sequence[str],
    cache: EmbeddingCache,
    *,
    progress: Progress = SILENT,
    texts_per_shard: int = SHARD,
) -> None:
    """Embed the texts that are not in the cache, and write their embeddings to it.

    An interrupted call loses at most the embeddings of one shard.

    Args:
        teacher: of the cache.
        texts: any number of texts, repeated or not. Memory holds the embeddings of one shard.
        cache: of the teacher.
        progress: counts the texts. Those in the cache are counted at once.
        texts_per_shard: texts between two writes.

    Raises:
        CacheError: another process is writing to the cache, or the disk is full.
    """
    bar = progress.phase("teacher embeddings", total=len(texts), unit="text")
    try:
        if next(cache.missing(texts), None) is None:
            bar.update(len(texts))
            return  # the writer's lock is not needed, and another process may hold it for hours
        with cache.exclusive_lock():
            missing = list(cache.missing(texts))
            teacher.choose_runtime(missing)
            skip(bar, len(texts) - len(missing))
            for first in range(0, len(missing), texts_per_shard):
                shard = missing[first : first + texts_per_shard]
                cache.add(shard, teacher._encode(shard, bar))
    finally:
        bar.close()


def _count_prompt_tokens(tokenizer: "Tokenizer", prompt: str) -> int:
    """Count the tokens before a text: those of the prompt and the special ones before it."""
    encoding = tokenizer.encode(prompt)
    n_tokens = len(encoding.ids)
    while n_tokens and encoding.special_tokens_mask[n_tokens - 1]:
        n_tokens -= 1
    return n_tokens


def _read_max_tokens(parts: TeacherFolder, model: nn.Module, tokenizer: Any) -> int:
    """Return the longest input: that of the folder, or the smaller limit of tokenizer and position embeddings."""
    positions = getattr(model.config, "max_position_embeddings", None) or 0
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            positions -= module.padding_idx + 1  # RoBERTa and MPNet count positions from there
    limits = [limit for limit in (positions, tokenizer.model_max_length) if 0 < limit < 10**9]
    if parts.max_tokens is None and not limits:
        raise EncoderError(
            f"{parts.transformer}: expected a longest input, found none; set max_seq_length in "
            "sentence_bert_config.json"
        )
    if parts.max_tokens is not None and 0 < positions < parts.max_tokens:
        raise EncoderError(f"{parts.transformer}: max_seq_length: expected at most {positions}, got {parts.max_tokens}")
    return parts.max_tokens or min(limits)


def _compute_sha256(
    parts: TeacherFolder, model: nn.Module, tokenizer: "Tokenizer", config: dict[str, Any], max_tokens: int
) -> str:
    settings_of_config = {key: value for key, value in config.items() if key not in INCIDENTAL}
    settings = parts.settings | {
        "config": settings_of_config,
        "tokenizer": tokenizer.to_str(),
        "max_tokens": max_tokens,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    tensors = [(name, tensor) for name, tensor in model.state_dict().items() if not name.startswith(POOLER)]
    for name, tensor in [*tensors, *parts.head.state_dict(prefix="head.").items()]:
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).reshape(-1).data)
    return digest.hexdigest()
