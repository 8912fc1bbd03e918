"""Passages, bytes, hours and shards of a corpus, by formulas over measured figures (docs/scaling.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from hpdsearch.cluster.estimates import Basis, Estimate, interpolate
from hpdsearch.cluster.figures import EncodingFigure, Figures
from hpdsearch.dense import Codec, IndexSpec, IndexType
from hpdsearch.dense.auto import resolve_lists
from hpdsearch.dense.faiss_factory import index_bytes
from hpdsearch.errors import PlanError

OVERLAP = 0.1  # of a passage, at most, is repeated in the next one (corpus/passages.py)
FLOAT16_BYTES, CHECKSUM_BYTES = 2, 4  # docs/index-format.md, "The vectors file"
MEMORY_SHARE = 0.8  # of a machine's memory for its serving processes; the rest is for the system and cached files
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Split:
    """How documents of one length become passages.

    Attributes:
        tokens: tokens of a document.
        passages: passages of a document, at least 1.
        passage_tokens: tokens of a passage.
    """

    tokens: Estimate
    passages: Estimate
    passage_tokens: Estimate


def split_documents(figures: Figures, words: float, window: int) -> Split:
    """Return how documents of this many words are split, if all are equally long.

    Args:
        figures: measured; tokens are interpolated between the measured lengths.
        words: words of a document.
        window: tokens of a passage, at most (max_tokens of the encoder).
    """
    tokens = interpolate([(one.words, one.tokens) for one in figures.texts], words)
    if tokens.value <= window:
        return Split(tokens, Estimate(1), tokens)
    n = ceil(tokens.value / (window * (1 - OVERLAP)))
    return Split(
        tokens,
        Estimate(n, Basis.INTERPOLATED) * Estimate(1, tokens.basis),
        Estimate(min(window, tokens.value / n + OVERLAP * window), max(tokens.basis, Basis.INTERPOLATED)),
    )


def vector_bytes(n: int, dim: int) -> int:
    """Return the bytes of vectors files: float16 and a checksum for each row."""
    return n * (FLOAT16_BYTES * dim + CHECKSUM_BYTES)


def code_bytes(kind: IndexType, codec: Codec, n: int, dim: int) -> int:
    """Return the bytes of codes and lists of a segment of n vectors, in memory and on disk."""
    return index_bytes(resolve_lists(IndexSpec(kind, codec), n), n, dim)


def catalog_bytes(figures: Figures, words: float) -> Estimate:
    """Return the bytes of catalog.sqlite for each document of this many words."""
    return interpolate([(one.words, one.catalog_bytes) for one in figures.texts], words)


def lexical_bytes(figures: Figures, words: float) -> Estimate:
    """Return the bytes of the lexical index for each document of this many words."""
    return interpolate([(one.words, one.lexical_bytes) for one in figures.texts], words)


def encode_hours(
    figures: Figures, encoder: str, n_passages: int, passage_tokens: float, *, device: str, units: int
) -> Estimate:
    """Return the hours of encoding all passages.

    Args:
        figures: measured.
        encoder: its name in the figures.
        n_passages: passages to encode.
        passage_tokens: tokens of each.
        device: "cpu" or "cuda".
        units: cores, or GPUs; the rate is proportional to their number.

    Raises:
        PlanError: the figures have no rate of this encoder on this device.
    """
    known = [one for one in figures.encoding if (one.encoder, one.device) == (encoder, device)]
    if not known:
        measured = sorted({f"{one.encoder} on {one.device}" for one in figures.encoding})
        raise PlanError(
            f"encoder: expected one whose rate was measured ({', '.join(measured)}), got {encoder} on {device}; "
            "measure it with python -m benchmarks.scale.plan on a machine that has it, then plan with --figures"
        )
    chosen = _nearest_units(known, units)
    measured_units = chosen[0].units
    points = sorted((one.n_tokens, 1 / one.texts_per_second) for one in chosen)
    hours = interpolate(points, passage_tokens) * (n_passages * measured_units / units / SECONDS_PER_HOUR)
    return hours if units == measured_units else Estimate(hours.value, Basis.EXTRAPOLATED)


def _nearest_units(known: Sequence[EncodingFigure], units: int) -> list[EncodingFigure]:
    """Return the figures of the largest measured number of units up to this one, or of the smallest."""
    measured = sorted({one.units for one in known})
    chosen = max((n for n in measured if n <= units), default=measured[0])
    return [one for one in known if one.units == chosen]


@dataclass(frozen=True)
class Sharding:
    """Shards and the machines that hold one copy of them.

    Attributes:
        n_shards: shards, each in a serving process of its own.
        shard_passages: passages of the largest shard.
        shard_bytes: memory of the codes of a shard.
        process_bytes: memory of a serving process with them.
        per_machine: shards on a machine.
        n_machines: machines for one copy.
    """

    n_shards: int
    shard_passages: int
    shard_bytes: int
    process_bytes: int
    per_machine: int
    n_machines: int


@dataclass(frozen=True)
class MachineLimits:
    """The memory and cores of one serving machine, and the size of a shard.

    Attributes:
        memory: bytes.
        cores: cores; no more shards than cores are put on a machine.
        shard_passages: passages of a shard, at most.
    """

    memory: int
    cores: int
    shard_passages: int


def choose_sharding(
    kind: IndexType, codec: Codec, n: int, dim: int, base_bytes: int, limits: MachineLimits, n_shards: int = 0
) -> Sharding:
    """Return the shards of n passages: the fewest that the limits allow, or the wanted number.

    Args:
        kind: flat or ivf.
        codec: no auto.
        n: passages.
        dim: dimensions of the coded vectors.
        base_bytes: memory of a serving process without codes.
        limits: of a machine.
        n_shards: wanted shards; 0: computed.

    Raises:
        PlanError: a serving process does not fit a machine.
    """
    usable = int(limits.memory * MEMORY_SHARE)
    if usable <= base_bytes:
        raise PlanError(
            f"memory: expected more than {ceil(base_bytes / MEMORY_SHARE):,} bytes, which a serving process takes "
            f"without any passage, got {limits.memory:,}"
        )
    fewest = max(1, ceil(n / limits.shard_passages), ceil(code_bytes(kind, codec, n, dim) / (usable - base_bytes)))
    while base_bytes + code_bytes(kind, codec, ceil(n / fewest), dim) > usable:
        fewest += 1
    if n_shards and base_bytes + code_bytes(kind, codec, ceil(n / n_shards), dim) > usable:
        raise PlanError(f"shards: expected at least {fewest} for {limits.memory:,} bytes a machine, got {n_shards}")
    chosen = min(n_shards or fewest, n)
    rows = ceil(n / chosen)
    shard_bytes = code_bytes(kind, codec, rows, dim)
    per_machine = min(usable // (base_bytes + shard_bytes), limits.cores, chosen)
    return Sharding(chosen, rows, shard_bytes, base_bytes + shard_bytes, per_machine, ceil(chosen / per_machine))
