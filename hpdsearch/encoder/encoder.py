"""Encoder: opens an encoder folder and turns texts into unit vectors."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hpdsearch.common.files import file_sha256
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix, unit_rows
from hpdsearch.encoder.backends import Backend, Model, find_backend, open_model
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
from hpdsearch.encoder.threads import usable_cores
from hpdsearch.encoder.tokens import Span, TextTokenizer
from hpdsearch.errors import EncoderError

BLOCK = 4096  # texts tokenized at once and batched by length


class Encoder:
    """Turns texts into unit vectors; may be used from several threads at once.

    Attributes:
        name: the encoder's name.
        dim: width of the vectors: the first `dim` of the model's model_dim numbers, scaled to length 1.
        model_dim: width of the vectors that the model makes.
        kind: a Transformer (bert) or a table of token vectors (static).
        max_tokens: tokens of text that a Transformer reads at once, a longer text is read in consecutive windows; a
            static encoder reads any text whole. For both it is the length of a passage.
        space: id of the space of the vectors; only vectors of one space can be compared.
        sha256: "sha256:..." of encoder.json, which holds the sums of all other files.
        location: what `load` finds it by: a built-in name, or the absolute path of its folder.
    """

    def __init__(
        self,
        card: EncoderCard,
        kind: EncoderType,
        *,
        sha256: str,
        location: str,
        tokenizer: TextTokenizer,
        model: Model,
    ) -> None:
        """Use `load`."""
        self.kind = kind
        self.name = card.name
        self.location = location
        self.dim = self.model_dim = card.dim
        self.max_tokens = card.max_tokens
        self.space = card.space
        self.sha256 = sha256
        self._tokenizer = tokenizer
        self._model = model

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        *,
        dim: int | None = None,
        backend: str | Backend = Backend.AUTO,
        threads: int | None = None,
    ) -> "Encoder":
        """Open an encoder, verifying every file of its folder. Nothing is ever downloaded.

        Args:
            name_or_folder: a built-in encoder's name (see `names`) or the path of an encoder folder.
            dim: numbers to keep of each vector, see `truncated`; None for all.
            backend: what runs a Transformer: "onnx", "openvino", or "torch" for a GPU; "auto" is what the variable
                HPDSEARCH_BACKEND says, else onnx, unless openvino is installed and faster here, measured once.
            threads: cores to use; None for all that this process may use. With "torch" it is torch's own setting.

        Raises:
            EncoderError: there is no such encoder, a file is missing, altered or of another format, or dim, backend or
                the number of threads are out of range.
            MissingExtraError: the backend is not installed.
        """
        chosen = find_backend(backend)
        if threads is not None and threads < 1:
            raise EncoderError(f"threads: expected at least 1, got {threads}")
        folder = find_folder(name_or_folder)
        card = read_card(folder)
        kind = verify_files(folder, card)
        tokenizer = TextTokenizer.load(folder / TOKENIZER)
        location = folder.name if folder.parent == BUILT_IN else str(folder.absolute())
        sha256 = f"sha256:{file_sha256(folder / CARD)}"
        model = open_model(folder, card, kind, chosen, tokenizer, sha256=sha256, threads=threads or usable_cores())
        encoder = cls(card, kind, sha256=sha256, location=location, tokenizer=tokenizer, model=model)
        return encoder if dim is None else encoder.truncate(dim)

    def truncate(self, dim: int) -> "Encoder":
        """Return this encoder with vectors of the first `dim` numbers of the model's, scaled to length 1.

        A space's directions are ordered, the most important first, so its first numbers are a good vector themselves.

        Raises:
            EncoderError: dim is not 1..model_dim.
        """
        if not 1 <= dim <= self.model_dim:
            raise EncoderError(f"dim: expected 1..{self.model_dim} (width of encoder {self.name}), got {dim}")
        if dim == self.dim:
            return self
        other = copy.copy(self)  # the model and the tokenizer are shared
        other.dim = dim
        return other

    @staticmethod
    def names() -> list[str]:
        """Return the names of the encoders that ship with the package, sorted."""
        return built_in_names()

    def encode(self, texts: Sequence[str], *, progress: Progress = SILENT) -> Matrix:
        """Return the texts' vectors, float32 (n, dim), rows of length 1, in the order of the texts.

        A Transformer encodes a text of more than max_tokens tokens in consecutive windows of max_tokens tokens (the
        last one may be shorter); its vector is the mean of the windows' vectors weighted by their tokens, scaled to
        length 1. An empty or blank text gets the vector of a text without tokens.

        Args:
            texts: any number, of any length.
            progress: counts the texts.

        Raises:
            EncoderError: texts is one string or holds something else than strings; nothing is encoded then.
        """
        _require_strings(texts)
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        bar = progress.phase("encode", total=len(texts), unit="text")
        try:
            for first in range(0, len(texts), BLOCK):
                block = self._model(self._tokenizer.ids(list(texts[first : first + BLOCK])), bar)
                vectors[first : first + BLOCK] = (
                    block if self.dim == self.model_dim else unit_rows(block[:, : self.dim])
                )
        finally:
            bar.close()
        return vectors

    def token_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the (start, end) characters of every token of each text, without special tokens or truncation.

        Starts and ends never descend; a character that makes several tokens gives several equal spans.

        Raises:
            EncoderError: texts is one string or holds something else than strings.
        """
        _require_strings(texts)
        return self._tokenizer.spans(list(texts))


def _require_strings(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise EncoderError("texts: expected a list of strings, got one string; write [text]")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise EncoderError(f"texts[{position}]: expected a string, got {type(text).__name__}")
