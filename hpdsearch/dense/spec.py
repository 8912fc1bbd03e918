"""What index to make: kind, codec and their numbers; what the user leaves open is measured when it is built."""

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from hpdsearch.errors import ShapeError


class Kind(str, Enum):
    """How candidates are found: flat scans all codes; ivf visits the inverted lists nearest to the query."""

    AUTO = "auto"
    FLAT = "flat"
    IVF = "ivf"


class Codec(str, Enum):
    """How a vector is kept in memory.

    f32: four bytes a dimension. sq8: one. pq: product quantization, 4 bits a part, scanned by the fast-scan kernels.
    rabitq: one bit a dimension and 8 bytes. pq and rabitq turn the vectors first, by a random rotation.
    """

    AUTO = "auto"
    F32 = "f32"
    SQ8 = "sq8"
    PQ = "pq"
    RABITQ = "rabitq"


@dataclass(frozen=True)
class IndexSpec:
    """What index to make.

    Attributes:
        kind: auto is flat while a scan of all codes stays within the latency goal, else ivf.
        codec: auto is sq8 for few vectors, else pq, or sq8 again where pq cannot keep `recall`.
        recall: ann_recall@10 that is promised: nprobe and rescore are the fastest that keep it, 0 < recall <= 1.
        memory: bytes that codes and lists may take; 0: no bound.
        dim: leading numbers of each vector that the codes hold; 0: all. Rescoring always uses all.
        parts: pq parts of 4 bits; 0: one for each two dimensions.
        nlist: inverted lists; 0: about 4 sqrt(n), the rule of faiss's guidelines.
        nprobe: lists visited per query; 0: measured.
        rescore: how many candidates for each of the first ten wanted hits are scored again exactly, from the vectors
            file; 0: measured.
    """

    kind: Kind = Kind.AUTO
    codec: Codec = Codec.AUTO
    recall: float = 0.95
    memory: int = 0
    dim: int = 0
    parts: int = 0
    nlist: int = 0
    nprobe: int = 0
    rescore: int = 0

    def __post_init__(self) -> None:
        for name in ("memory", "dim", "parts", "nlist", "nprobe", "rescore"):
            if getattr(self, name) < 0:
                raise ShapeError(f"{name}: expected at least 0, got {getattr(self, name)}")
        if not 0 < self.recall <= 1:
            raise ShapeError(f"recall: expected more than 0 and at most 1, got {self.recall}")
        if self.nlist and self.nprobe > self.nlist:
            raise ShapeError(f"nprobe: expected 1..{self.nlist} (nlist), got {self.nprobe}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {k: v.value if isinstance(v, Enum) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "IndexSpec":
        """Return the spec that `as_dict` described; fields that format 1 did not have get their defaults."""
        return cls(**{**values, "kind": Kind(values["kind"]), "codec": Codec(values["codec"])})
