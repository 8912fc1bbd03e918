"""Blocks of texts that a run has encoded stay on the disk until its commit: the next run does not encode them again."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import numpy as np

from hpdsearch.common.progress import Progress
from hpdsearch.common.vectors import Rows, Stored
from hpdsearch.encoder import Encoder
from hpdsearch.indexer.vector_log import VectorLog


class EncodedBlocks:
    """Encodes blocks of texts, apart from those that an interrupted run has encoded with the same encoder.

    Attributes:
        n_resumed: texts that were not encoded again.
    """

    def __init__(self, path: Path, encoder: Encoder) -> None:
        """Open the file, or create it.

        Args:
            path: the file; whoever commits the vectors removes it.
            encoder: encodes the texts.
        """
        self.n_resumed = 0
        self._encoder = encoder
        self._log = VectorLog(path, encoder.dim)
        self._own: set[int] = set()  # first keys of the blocks that this run has encoded

    def encode(self, texts: Sequence[str], progress: Progress) -> Stored:
        """Return the vectors (n, dim) of the texts of a block, float16; they are on the disk afterwards."""
        keys = self._hash_texts(texts)
        if not self._log.contains(keys).all():
            vectors = self._encoder.encode(texts, progress=progress).astype("<f2")
            self._log.append(keys, vectors)
            self._own.add(int(keys[0]))
            return vectors
        self.n_resumed += len(texts) if len(texts) and int(keys[0]) not in self._own else 0
        progress.phase("encode", total=len(texts), unit="text").update(len(texts))
        return self._log.replace(keys, np.zeros((len(keys), self._encoder.dim), "<f2"))

    def _hash_texts(self, texts: Sequence[str]) -> Rows:
        """Return the key of each text: a hash of the encoder and of all texts of the block, plus the position.

        The whole block counts, because a vector differs in its last bits if other texts are in its batch.
        """
        digest = sha256(f"{self._encoder.sha256} {self._encoder.dim} {self._encoder.backend}".encode())
        for text in texts:
            data = text.encode()
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
        first = int.from_bytes(digest.digest()[:8], "little") // 4  # no sum exceeds int64
        return np.arange(first, first + len(texts))

    def __enter__(self) -> "EncodedBlocks":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._log.__exit__(kind, error, tb)
