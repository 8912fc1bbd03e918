"""IndexSpec: which index to build. Settings that the caller leaves open are chosen and measured during the build."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from hpdsearch.errors import ShapeError


class IndexType(str, Enum):
    """How candidates are found: flat scans all codes; ivf scans the inverted lists nearest to the query."""

    AUTO = "auto"
    FLAT = "flat"
    IVF = "ivf"


Kind = IndexType  # the public alias


class Codec(str, Enum):
    """How a vector is encoded in memory.

    f32: 4 bytes a dimension. sq8: scalar quantization, 1 byte a dimension. pq: product quantization, 4 bits a
    subquantizer. rabitq: 1 bit a dimension and 8 bytes a vector. pq and rabitq rotate the vectors at random first and
    are scanned by the fast-scan kernels of faiss.

    Sources: Jégou et al. 2011, "Product quantization for nearest neighbor search". André et al. 2015, "Cache locality
    is not enough", and 2018, arXiv:1812.09162 (fast scan). Gao and Long 2024, arXiv:2405.12497 (RaBitQ).
    """

    AUTO = "auto"
    F32 = "f32"
    SQ8 = "sq8"
    PQ = "pq"
    RABITQ = "rabitq"


@dataclass(frozen=True)
class IndexSpec:
    """Which index to build.

    Attributes:
        kind: auto is flat while a scan of all codes stays within the latency goal, else ivf. A segment of fewer than
            5,000 vectors is always flat.
        codec: auto is sq8 for few vectors, else pq, or sq8 again where pq misses the recall target.
        ann_recall: recall target, 0 < ann_recall <= 1: the fastest nprobe and rescore that meet this ann_recall@10 are
            chosen.
        memory: bytes that codes and lists may take; 0: no limit.
        dim: dimensions of each vector that the codes hold, counted from the first; 0: all. Rescoring always uses all.
        n_subquantizers: subquantizers (M) of pq, 4 bits each; 0: one for each two dimensions.
        nlist: inverted lists of an ivf index; 0: about 4 sqrt(n) for f32 and sq8, 2 sqrt(n) for pq and rabitq.
        nprobe: inverted lists probed per query; 0: measured.
        rescore: candidates per hit, for the first ten hits, that are scored again exactly with the stored vectors;
            0: measured.

    Raises:
        ShapeError: a value is outside its range.
    """

    kind: IndexType = IndexType.AUTO
    codec: Codec = Codec.AUTO
    ann_recall: float = 0.95
    memory: int = 0
    dim: int = 0
    n_subquantizers: int = 0
    nlist: int = 0
    nprobe: int = 0
    rescore: int = 0

    def __post_init__(self) -> None:
        for name in ("memory", "dim", "n_subquantizers", "nlist", "nprobe", "rescore"):
            if getattr(self, name) < 0:
                raise ShapeError(f"{name}: expected at least 0, got {getattr(self, name)}")
        if not 0 < self.ann_recall <= 1:
            raise ShapeError(f"ann_recall: expected more than 0 and at most 1, got {self.ann_recall}")
        if self.nlist and self.nprobe > self.nlist:
            raise ShapeError(f"nprobe: expected 1..{self.nlist} (nlist), got {self.nprobe}")

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as JSON values, under the keys of the index folder (docs/index-format.md)."""
        return {
            "kind": self.kind.value,
            "codec": self.codec.value,
            "recall": self.ann_recall,
            "memory": self.memory,
            "dim": self.dim,
            "parts": self.n_subquantizers,
            "nlist": self.nlist,
            "nprobe": self.nprobe,
            "rescore": self.rescore,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "IndexSpec":
        """Return the spec that `as_dict` wrote."""
        return cls(
            kind=IndexType(values["kind"]),
            codec=Codec(values["codec"]),
            ann_recall=values["recall"],
            memory=values["memory"],
            dim=values["dim"],
            n_subquantizers=values["parts"],
            nlist=values["nlist"],
            nprobe=values["nprobe"],
            rescore=values["rescore"],
        )
