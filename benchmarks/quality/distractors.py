"""Texts that answer no judged query, to be mixed with judged documents."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.common.harness import open_bytes
from hpdsearch.evaluation import Collection
from hpdsearch.evaluation.distractors import SEED, digest_documents, draw_texts

KINDS: Mapping[str, tuple[int, int]] = {"short texts": (10, 120), "passages": (300, 2000)}  # characters


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
    judged = digest_documents(collections)
    found: dict[str, set[str]] = {kind: set() for kind in sizes}
    for text in _read_lines(files):
        for kind in sizes:
            shortest, longest = KINDS[kind]
            if shortest <= len(text) <= longest:
                found[kind].add(text)
    sampled = {kind: draw_texts(found[kind], n, judged, seed=seed) for kind, n in sizes.items()}
    for kind, n in sizes.items():
        if len(sampled[kind]) < n:
            raise SystemExit(f"--distractors: expected {n:,} different {kind}, got {len(sampled[kind]):,}")
    return sampled


def _read_lines(files: Sequence[Path]) -> Iterator[str]:
    for path in files:
        with open_bytes(path) as file:
            for line in file:
                yield line.decode().strip()
