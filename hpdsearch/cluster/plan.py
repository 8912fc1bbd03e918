"""The capacity sheet: what a corpus of a size needs, line by line, each with the basis of its number."""

from dataclasses import asdict, dataclass, fields
from math import ceil, isfinite
from typing import Any

from hpdsearch.cluster.capacity import (
    MachineLimits,
    Sharding,
    catalog_bytes,
    choose_sharding,
    code_bytes,
    encode_hours,
    lexical_bytes,
    split_documents,
    vector_bytes,
)
from hpdsearch.cluster.estimates import Basis, Estimate
from hpdsearch.cluster.figures import Figures
from hpdsearch.cluster.latency import (
    PERCENTILES,
    UTILIZATION,
    choose_type,
    cores_for_rate,
    query_latency,
    segment_milliseconds,
)
from hpdsearch.dense import Codec, IndexType
from hpdsearch.errors import PlanError

GIGABYTE = 10**9


@dataclass(frozen=True)
class PlanSpec:
    """A corpus and the machines to plan for.

    Attributes:
        n_documents: documents, at least 1.
        words: words of a document, mean.
        encoder: its name in the figures.
        window: max_tokens of the encoder.
        dim: dimensions of a vector.
        kind: auto is flat while a scan stays within the latency goal, else ivf.
        codec: auto is pq.
        ann_recall: recall target, 0 < ann_recall <= 1.
        queries_per_second: wanted rate.
        hybrid: rank by BM25 too.
        n_shards: shards; 0: computed.
        shard_passages: passages of a shard, at most, if the number of shards is computed.
        memory: bytes of a serving machine.
        machine_cores: cores of a serving machine.
        cores: cores that encode.
        gpus: GPUs that encode; 0: cores do.

    Raises:
        PlanError: a value is out of range.
    """

    n_documents: int
    words: float
    encoder: str = "base"
    window: int = 256
    dim: int = 256
    kind: IndexType = IndexType.AUTO
    codec: Codec = Codec.AUTO
    ann_recall: float = 0.95
    queries_per_second: float = 100
    hybrid: bool = True
    n_shards: int = 0
    shard_passages: int = 10_000_000
    memory: int = 32 * GIGABYTE
    machine_cores: int = 8
    cores: int = 8
    gpus: int = 0

    def __post_init__(self) -> None:
        lowest = {"n_shards": 0, "gpus": 0}
        for one in fields(self):
            value = getattr(self, one.name)
            if type(value) not in (int, float):
                continue
            if not isfinite(value):
                raise PlanError(f"{one.name}: expected a number, got {value}")
            if one.name in ("words", "queries_per_second", "ann_recall"):
                if value <= 0:
                    raise PlanError(f"{one.name}: expected more than 0, got {value:g}")
            elif value < lowest.get(one.name, 1):
                raise PlanError(f"{one.name}: expected at least {lowest.get(one.name, 1)}, got {value}")
        if self.ann_recall > 1:
            raise PlanError(f"ann_recall: expected at most 1, got {self.ann_recall:g}")


@dataclass(frozen=True)
class Line:
    """A line of the sheet.

    Attributes:
        key: its name in JSON.
        label: its name for people.
        value: the number.
        unit: "bytes", "ms", "hours" or what is counted.
        basis: label of a Basis.
    """

    key: str
    label: str
    value: float
    unit: str
    basis: str


@dataclass(frozen=True)
class Plan:
    """A capacity sheet.

    Attributes:
        spec: the request, with kind and codec resolved.
        machine: where the figures were measured.
        sources: the results that they are from.
        lines: the sheet.
        notes: what the numbers leave out.
    """

    spec: dict[str, Any]
    machine: str
    sources: tuple[dict[str, str], ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    def __getitem__(self, key: str) -> float:
        """Return the value of a line."""
        return next(line.value for line in self.lines if line.key == key)

    def as_dict(self) -> dict[str, Any]:
        """Return the sheet as JSON values."""
        return {
            "spec": self.spec,
            "machine": self.machine,
            "sources": list(self.sources),
            "lines": [asdict(line) for line in self.lines],
            "notes": list(self.notes),
        }


NOTES = (
    "Documents are taken to be equally long. Long and short ones mixed give more passages.",
    "Latencies are those of one query at a time on idle cores, with files in the page cache; the network between "
    "machines and Ray are not in them.",
    "The shards of a query are taken to be slow together as often as the measured ones. Total latencies add the "
    "percentiles of their parts.",
)


def make_plan(spec: PlanSpec, figures: Figures) -> Plan:
    """Compute the capacity sheet of a request.

    Raises:
        PlanError: a needed figure was not measured, or the limits cannot be met.
    """
    split = split_documents(figures, spec.words, spec.window)
    n = ceil(spec.n_documents * split.passages.value)
    codec = Codec.PQ if spec.codec is Codec.AUTO else spec.codec
    largest = ceil(n / spec.n_shards) if spec.n_shards else min(n, spec.shard_passages)
    kind = spec.kind
    if kind is IndexType.AUTO:
        kind = choose_type(figures, codec, spec.dim, largest, spec.ann_recall)
    limits = MachineLimits(spec.memory, spec.machine_cores, spec.shard_passages)
    shards = choose_sharding(kind, codec, n, spec.dim, figures.process_bytes, limits, spec.n_shards)
    passages = Estimate(n, split.passages.basis)
    lines = [
        _line("passages", "passages", passages, "passages"),
        *_disk_lines(spec, figures, kind, codec, passages, shards),
        *_memory_lines(shards),
        *_encoding_lines(spec, figures, passages, split.passage_tokens),
        *_serving_lines(spec, figures, kind, codec, shards),
    ]
    resolved = asdict(spec) | {"kind": kind.value, "codec": codec.value}
    return Plan(resolved, figures.machine, figures.sources, tuple(lines), NOTES)


def _line(key: str, label: str, estimate: Estimate, unit: str) -> Line:
    return Line(key, label, estimate.value, unit, estimate.basis.label)


def _disk_lines(
    spec: PlanSpec, figures: Figures, kind: IndexType, codec: Codec, passages: Estimate, shards: Sharding
) -> list[Line]:
    """Return the bytes on disk of one copy of all shards."""
    n = round(passages.value)
    codes = shards.n_shards * code_bytes(kind, codec, shards.shard_passages, spec.dim)
    beyond = Estimate(spec.n_documents, Basis.EXTRAPOLATED)  # texts were measured in an index of thousands
    parts = {
        "vectors": Estimate(vector_bytes(n, spec.dim), passages.basis),
        "codes": Estimate(codes, passages.basis),
        "catalog": catalog_bytes(figures, spec.words) * beyond,
        "lexical": lexical_bytes(figures, spec.words) * beyond,
    }
    total = Estimate(0)
    for part in parts.values():
        total += part
    lines = [_line(f"{name}_bytes", f"{name} on disk", part, "bytes") for name, part in parts.items()]
    return [*lines, _line("disk_bytes", "all on disk", total, "bytes")]


def _memory_lines(shards: Sharding) -> list[Line]:
    """Return shards, their memory, and the machines for one copy."""
    process = Estimate(shards.process_bytes, Basis.EXTRAPOLATED)  # measured with one shard of a million passages
    return [
        _line("shards", "shards", Estimate(shards.n_shards), "shards"),
        _line("shard_passages", "passages of a shard", Estimate(shards.shard_passages), "passages"),
        _line("shard_code_bytes", "codes of a shard in memory", Estimate(shards.shard_bytes), "bytes"),
        _line(
            "code_memory_bytes",
            "codes of all shards in memory",
            Estimate(shards.shard_bytes * shards.n_shards),
            "bytes",
        ),
        _line("process_bytes", "serving process of a shard", process, "bytes"),
        _line("shards_per_machine", "shards on a machine", Estimate(shards.per_machine, process.basis), "shards"),
        _line("machines_per_copy", "machines for one copy", Estimate(shards.n_machines, process.basis), "machines"),
    ]


def _encoding_lines(spec: PlanSpec, figures: Figures, passages: Estimate, tokens: Estimate) -> list[Line]:
    """Return the tokens of a passage and the hours of encoding on cores, or on GPUs if there are any."""
    device, units, name = ("cuda", spec.gpus, "GPU") if spec.gpus else ("cpu", spec.cores, "core")
    hours = encode_hours(
        figures, spec.encoder, round(passages.value), tokens.value, device=device, units=units
    ) * Estimate(1, max(tokens.basis, passages.basis))
    return [
        _line("passage_tokens", "tokens of a passage", tokens, "tokens"),
        _line("encode_hours", f"encoding on {units:,} {name}{'s' * (units > 1)}", hours, "hours"),
    ]


def _serving_lines(spec: PlanSpec, figures: Figures, kind: IndexType, codec: Codec, shards: Sharding) -> list[Line]:
    """Return the latency of a query, and replicas and machines for the wanted rate."""
    segment = segment_milliseconds(figures, kind, codec, spec.dim, shards.shard_passages, spec.ann_recall)
    latency = query_latency(figures, spec.encoder, segment, shards.n_shards, shards.shard_passages, hybrid=spec.hybrid)
    lines = [_line("segment_ms", "scan of one shard's codes, p50", segment, "ms")]
    for name, label, estimates in (
        ("encode", "encoding the query", latency.encode),
        ("shard", "one shard", latency.shard),
        ("slowest", f"slowest of {shards.n_shards:,} shard{'s' * (shards.n_shards > 1)}", latency.slowest),
        ("query", "query in total", latency.total),
    ):
        for p, estimate in zip(PERCENTILES, estimates, strict=True):
            lines.append(_line(f"{name}_p{p * 100:.0f}_ms", f"{label}, p{p * 100:.0f}", estimate, "ms"))
    # Half busy cores are a rule of thumb, so what follows from them is never more certain than extrapolated.
    cores = cores_for_rate(latency.core, spec.queries_per_second) * Estimate(1, Basis.EXTRAPOLATED)
    n_machines = max(shards.n_machines, ceil(cores.value / spec.machine_cores))
    replicas = ceil(n_machines / shards.n_machines)
    rate = f"{spec.queries_per_second:g} queries a second"
    return [
        *lines,
        _line("merge_ms", "merging the hits of the shards", latency.merge, "ms"),
        _line("core_ms", "processor time of a query, all shards", latency.core, "ms"),
        _line("rate_cores", f"cores for {rate}, {UTILIZATION:.0%} busy", cores, "cores"),
        _line("replicas", f"replicas for {rate}", Estimate(replicas, cores.basis), "copies"),
        _line("machines", f"machines for {rate}", Estimate(replicas * shards.n_machines, cores.basis), "machines"),
    ]
