"""Fit the query adapter of an encoder to typical queries and texts. It takes a minute and needs no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.encoder import Backend, Encoder
from hpdsearch.encoder.folder import find_folder
from hpdsearch.encoder.query_adapter import SCALING, fit_query_adapter, write_query_adapter
from hpdsearch.errors import DistillError

N_FITTED = 10_000  # queries, and texts, that are encoded at most: the means of more would not differ
N_LEAST = 50  # the mean of fewer would say more of what they are about than of queries


@dataclass(frozen=True)
class FittedQueries:
    """The result of a fit.

    Attributes:
        folder: of the encoder.
        n_queries: different queries that the adapter was fitted to.
        n_texts: different texts that it was fitted to.
        offset: length of its offset; the vectors have length 1.
    """

    folder: Path
    n_queries: int
    n_texts: int
    offset: float

    def __str__(self) -> str:
        return f"{self.n_queries:,} queries and {self.n_texts:,} texts"


def fit_queries(
    encoder: str | Path,
    output: str | Path,
    *,
    queries: Sequence[str],
    texts: Sequence[str],
    scaling: float = SCALING,
    progress: Progress = SILENT,
) -> FittedQueries:
    """Write a copy of an encoder with a query adapter that is fitted to these queries and texts.

    Documents get the same vectors from both encoders, so each can query the indexes of the other.

    Args:
        encoder: a built-in name or an encoder folder. Its own adapter, if it has one, is replaced.
        output: a new or empty folder.
        queries: typical queries; the first 10,000 are used.
        texts: typical documents; the first 10,000 that are not among the queries are used.
        scaling: see fit_query_adapter.
        progress: counts the texts.

    Raises:
        EncoderError: there is no such encoder, or its files are corrupt.
        DistillError: `output` holds something, or there are too few queries or texts.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DistillError(f"{output}: expected a new or empty folder; choose another one")
    fitted = _Fit(Encoder.load(encoder, backend=Backend.ONNX), queries, texts, scaling, progress)
    return fitted.write(find_folder(encoder), output)


def add_query_adapter(
    folder: Path, queries: Sequence[str], texts: Sequence[str], *, scaling: float = SCALING
) -> FittedQueries:
    """Fit the adapter of the encoder in a folder and write it into the folder; see fit_queries.

    Raises:
        EncoderError: the folder holds no encoder, or its files are corrupt.
        DistillError: there are too few queries or texts.
    """
    return _Fit(Encoder.load(folder, backend=Backend.ONNX), queries, texts, scaling, SILENT).write(folder)


def select_queries(texts: Sequence[str], pattern: str) -> list[str]:
    """Return the texts in which a regular expression matches at the beginning, upper and lower case alike.

    Raises:
        DistillError: the pattern is no regular expression.
    """
    try:
        matcher = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise DistillError(f"query_pattern: expected a regular expression, got {pattern!r}: {error}") from None
    return [text for text in texts if matcher.match(text)]


class _Fit:
    """An adapter, and what it is fitted to."""

    def __init__(
        self, encoder: Encoder, queries: Sequence[str], texts: Sequence[str], scaling: float, progress: Progress
    ) -> None:
        known = dict.fromkeys(query for query in queries if query.strip())
        others = dict.fromkeys(text for text in texts if text.strip() and text not in known)
        self.queries, self.texts = list(islice(known, N_FITTED)), list(islice(others, N_FITTED))
        counts = {"queries": len(self.queries), "texts that are not among the queries": len(self.texts)}
        for name, found in counts.items():
            if found < N_LEAST:
                raise DistillError(f"expected at least {N_LEAST} different {name}, got {found}; give more")
        encoder.query_adapter = None  # the new one takes its place
        vectors = encoder.encode_queries(self.queries, progress=progress), encoder.encode(self.texts, progress=progress)
        self.adapter = fit_query_adapter(*vectors, scaling=scaling)

    def write(self, folder: Path, output: Path | None = None) -> FittedQueries:
        """Write the adapter into the folder of the encoder, or into a copy."""
        write_query_adapter(folder, self.adapter, output=output)
        offset = float(np.linalg.norm(self.adapter.offset))
        return FittedQueries(output or folder, len(self.queries), len(self.texts), offset)
