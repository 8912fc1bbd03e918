"""Texts that answer no judged query, to be mixed with judged documents."""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.common.harness import open_bytes
from hpdsearch.evaluation import Collection

KINDS: Mapping[str, tuple[int, int]] = {"short texts": (10, 120), "passages": (300, 2000)}  # characters
SEED = 7


def sample_distractors(
    files: Sequence[Path], collections: Sequence[Collection], sizes: Mapping[str, int], *, seed: int = SEED
) -> dict[str, list[str]]:
    """Return texts of each kind in a seeded order; a smaller size gives the first ones of a larger size.

    Args:
        files: texts, one per line, also .gz.
        collections: judged collections; texts that have the letters and digits of one of their documents are left out.
        sizes: kind -> number of texts.
        seed: seed of the order.

    Raises:
        SystemExit: the files have too few texts of a kind.
    """
    judged = {_normalize(text) for each in collections for _, text in each.documents()}
    found: dict[str, set[str]] = {kind: set() for kind in sizes}
    for text in _read_lines(files):
        for kind in sizes:
            shortest, longest = KINDS[kind]
            if shortest <= len(text) <= longest:
                found[kind].add(text)
    sampled = {}
    for kind, n in sizes.items():
        texts = sorted(found[kind])  # the order of a set differs between runs
        random.Random(seed).shuffle(texts)
        sampled[kind] = [text for text in texts[: 2 * n] if _normalize(text) not in judged][:n]
        if len(sampled[kind]) < n:
            raise SystemExit(f"--distractors: expected {n:,} different {kind}, got {len(sampled[kind]):,}")
    return sampled


def _normalize(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def _read_lines(files: Sequence[Path]) -> Iterator[str]:
    for path in files:
        with open_bytes(path) as file:
            for line in file:
                yield line.decode().strip()
