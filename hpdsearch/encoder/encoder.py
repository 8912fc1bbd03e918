"""The Encoder: it loads an encoder folder and encodes texts as unit vectors."""

import copy
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpdsearch.common.files import file_sha256
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.encoder.backends import Backend, TextModel, find_backend, open_model
from hpdsearch.encoder.device import Device, find_device
from hpdsearch.encoder.folder import (
    BUILT_IN,
    CARD,
    TOKENIZER,
    EncoderCard,
    EncoderType,
    built_in_names,
    find_folder,
    read_card,
    verify_files,
)
from hpdsearch.encoder.query_adapter import QueryAdapter, read_query_adapter
from hpdsearch.encoder.threads import usable_cores
from hpdsearch.encoder.tokens import Span, TextTokenizer
from hpdsearch.errors import EncoderError

logger = logging.getLogger(__name__)

BLOCK = 4096  # texts that are tokenized, and batched by length, at once


class Encoder:
    """Encodes texts as unit vectors; may be used from several threads at once.

    Attributes:
        name: the encoder's name.
        dim: width of the vectors; less than model_dim if they are truncated, see `truncate`.
        model_dim: width of the model's own vectors.
        kind: a Transformer (bert, or onnx for an exported graph) or a table of token vectors (static).
        max_tokens: length of a passage in tokens, special tokens not counted. A Transformer encodes a longer text in
            windows of this length; a static encoder has no limit.
        space: id of the space of the vectors; only vectors of one space can be compared.
        sha256: "sha256:" and the checksum of encoder.json, which contains the checksums of all other files.
        location: the built-in name or the absolute path of the folder; `load` opens it again.
        backend: what runs the model: "numpy" for a static encoder, else the value of a Backend.
        device: where the model runs: "cpu", or torch's name of a GPU: "cuda" or "mps".
        query_prompt: set before each query, "" for none; see `encode_queries`.
        document_prompt: set before each passage, "" for none; see `encode`.
        query_adapter: maps the vectors of queries, None for no map; see `encode_queries`.
    """

    def __init__(
        self,
        card: EncoderCard,
        kind: EncoderType,
        *,
        sha256: str,
        location: str,
        tokenizer: TextTokenizer,
        model: TextModel,
        query_adapter: QueryAdapter | None = None,
    ) -> None:
        """Use `load`."""
        self.kind = kind
        self.name = card.name
        self.location = location
        self.dim = card.dim
        self.model_dim = card.dim
        self.max_tokens = card.max_tokens
        self.space = card.space
        self.sha256 = sha256
        self.backend = model.backend
        self.device = model.device
        self.query_prompt = card.query_prompt
        self.document_prompt = card.document_prompt
        self.query_adapter = query_adapter
        self._tokenizer = tokenizer
        self._model = model

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        *,
        dim: int | None = None,
        backend: str | Backend = Backend.AUTO,
        device: str | Device = Device.AUTO,
        threads: int | None = None,
    ) -> "Encoder":
        """Load an encoder and verify every file of its folder; nothing is downloaded.

        Args:
            name_or_folder: a built-in encoder's name (see `names`) or the path of an encoder folder.
            dim: dimensions to keep, see `truncate`; None keeps all.
            backend: runs a Transformer: "onnx" (float32), "onnx-int8", "openvino", "torch" (float32) or
                "torch-bfloat16". "auto" takes the value of the environment variable HPDSEARCH_BACKEND if it is set,
                else torch-bfloat16 on a GPU, else the fastest one of onnx, onnx-int8 and openvino (if installed),
                measured once. "quick" chooses between onnx and onnx-int8, which are the first to be loaded.
            device: runs a Transformer: "cpu", "cuda" (a GPU, by torch), or "auto": cuda if torch is installed and finds
                a GPU, else cpu. The backends of torch take Apple's mps too if the device is "auto".
            threads: cores to use; None for all that this process may use. torch has its own setting.

        Raises:
            EncoderError: no encoder has this name; a file is missing, altered or of another format; dim, backend,
                device or threads is out of range; or there is no such device.
            MissingExtraError: the backend is not installed.
        """
        start = time.perf_counter()
        chosen = find_backend(backend)
        wanted = find_device(device)
        if threads is not None and threads < 1:
            raise EncoderError(f"threads: expected at least 1, got {threads}")
        folder = find_folder(name_or_folder)
        card = read_card(folder)
        kind = verify_files(folder, card)
        tokenizer = TextTokenizer.load(folder / TOKENIZER)
        location = folder.name if folder.parent == BUILT_IN else str(folder.absolute())
        sha256 = f"sha256:{file_sha256(folder / CARD)}"
        threads = threads or usable_cores()
        model = open_model(folder, card, kind, chosen, tokenizer, device=wanted, sha256=sha256, threads=threads)
        adapter = read_query_adapter(folder)
        encoder = cls(
            card, kind, sha256=sha256, location=location, tokenizer=tokenizer, model=model, query_adapter=adapter
        )
        milliseconds = (time.perf_counter() - start) * 1000
        runs = f"backend {model.backend}, device {model.device}"
        logger.info("encoder %s loaded in %.0f ms, %s", location, milliseconds, runs)
        return encoder if dim is None else encoder.truncate(dim)

    def truncate(self, dim: int) -> "Encoder":
        """Return this encoder with vectors truncated to the first `dim` dimensions and scaled to length 1.

        The directions of a space are ordered by variance, so truncated vectors still work, like Matryoshka embeddings
        (Kusupati et al. 2022, arXiv:2205.13147). The model is shared and not loaded again.

        Raises:
            EncoderError: dim is not in 1..model_dim.
        """
        if not 1 <= dim <= self.model_dim:
            raise EncoderError(f"dim: expected 1..{self.model_dim} (width of encoder {self.name}), got {dim}")
        if dim == self.dim:
            return self
        truncated = copy.copy(self)
        truncated.dim = dim
        return truncated

    @staticmethod
    def names() -> list[str]:
        """Return the names of the encoders that ship with the package, sorted."""
        return built_in_names()

    def encode(self, texts: Sequence[str], *, progress: Progress = SILENT) -> Matrix:
        """Return the unit vectors of documents, passages or other texts, float32 (n, dim), in the order of the texts.

        The encoder's document prompt is set before each text; for queries see `encode_queries`.

        A Transformer encodes a text of more than max_tokens tokens in consecutive windows of max_tokens tokens; the
        last one may be shorter. The text's vector is the mean of the windows' vectors, weighted by their tokens and
        scaled to length 1. An empty or blank text gets the vector of a text without tokens.

        Args:
            texts: any number, of any length.
            progress: counts the texts.

        Raises:
            EncoderError: `texts` is a string or contains something else than strings; nothing is encoded then.
        """
        return self._encode(texts, self.document_prompt, progress)

    def encode_queries(self, texts: Sequence[str], *, progress: Progress = SILENT) -> Matrix:
        """Return the unit vectors of queries, float32 (n, dim), in the order of the texts.

        The same as `encode`, but with the encoder's query prompt and its query adapter. An encoder that has neither
        makes no difference between queries and documents.

        Args:
            texts: any number, of any length.
            progress: counts the texts.

        Raises:
            EncoderError: as in `encode`.
        """
        if self.query_adapter is None:
            return self._encode(texts, self.query_prompt, progress)
        whole = self.truncate(self.model_dim)._encode(texts, self.query_prompt, progress)
        adapted = self.query_adapter(whole)
        return adapted if self.dim == self.model_dim else unit_rows(adapted[:, : self.dim])

    def _encode(self, texts: Sequence[str], prompt: str, progress: Progress) -> Matrix:
        """Return the unit vectors of texts with the prompt before each. Subclasses override this."""
        _require_strings(texts)
        n_prompt = self._tokenizer.count_prompt(prompt) if prompt else 0
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        bar = progress.phase("encode", total=len(texts), unit="text")
        try:
            for first in range(0, len(texts), BLOCK):
                tokens = self._tokenizer.ids(list(texts[first : first + BLOCK]), prompt=prompt)
                block = self._model(tokens, bar, n_prompt)
                if self.dim < self.model_dim:
                    block = unit_rows(block[:, : self.dim])
                vectors[first : first + BLOCK] = block
        finally:
            bar.close()
        return vectors

    def token_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the (start, end) characters of every token of each text, without special tokens or truncation.

        Starts and ends never decrease. A character that makes several tokens gives several equal spans.

        Raises:
            EncoderError: `texts` is a string or contains something else than strings.
        """
        _require_strings(texts)
        return self._tokenizer.spans(list(texts))

    def known_words(self, text: str) -> set[str]:
        """Return the words of a text, runs of letters and digits, that the vocabulary has whole, not in pieces.

        Raises:
            EncoderError: `text` is not a string.
        """
        _require_strings([text])
        return self._tokenizer.known_words(text)


def _require_strings(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise EncoderError("texts: expected a list of strings, got one string; write [text]")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise EncoderError(f"texts[{position}]: expected a string, got {type(text).__name__}")
