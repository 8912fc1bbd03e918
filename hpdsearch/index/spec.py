"""What index to make: kind, codec and their numbers, chosen by the count of vectors where the user does not say."""

from dataclasses import asdict, dataclass, replace
from enum import Enum
from math import sqrt
from typing import Any

from hpdsearch.errors import ShapeError

# A flat sq8 scan of this many vectors stays within a few milliseconds a query (docs/decisions.md).
FLAT_LIMIT = 150_000
# Below this a list holds too few vectors to be worth a centroid (faiss asks for 39 training points a list).
IVF_MINIMUM = 5_000


class Kind(str, Enum):
    """How candidates are found: auto is decided by the count of vectors."""

    AUTO = "auto"
    FLAT = "flat"
    IVF = "ivf"


class Codec(str, Enum):
    """How a vector is kept in memory: four bytes a dimension, or one (scalar quantizer)."""

    AUTO = "auto"
    F32 = "f32"
    SQ8 = "sq8"


@dataclass(frozen=True)
class IndexSpec:
    """What index to make.

    Attributes:
        kind: flat scans all codes; ivf visits the nprobe inverted lists that are nearest to the query.
        codec: f32 or sq8.
        nlist: inverted lists; 0: about 4 sqrt(n), the rule of faiss's guidelines.
        nprobe: lists visited per query; 0: a sixteenth of nlist, at least 16.
        rescore: how many candidates for each of the first ten wanted hits are scored again exactly, from the vectors
            file; further hits get two.
    """

    kind: Kind = Kind.AUTO
    codec: Codec = Codec.AUTO
    nlist: int = 0
    nprobe: int = 0
    rescore: int = 5

    def __post_init__(self) -> None:
        for name, lowest in (("nlist", 0), ("nprobe", 0), ("rescore", 1)):
            if getattr(self, name) < lowest:
                raise ShapeError(f"{name}: expected at least {lowest}, got {getattr(self, name)}")
        if self.nlist and self.nprobe > self.nlist:
            raise ShapeError(f"nprobe: expected 1..{self.nlist} (nlist), got {self.nprobe}")

    def settled(self, n: int) -> "IndexSpec":
        """Return the spec with every automatic choice made for n vectors."""
        codec = Codec.SQ8 if self.codec is Codec.AUTO else self.codec
        kind = self.kind
        if kind is Kind.AUTO:
            kind = Kind.FLAT if n <= FLAT_LIMIT else Kind.IVF
        if kind is Kind.FLAT or n < IVF_MINIMUM:
            return IndexSpec(Kind.FLAT, codec, rescore=self.rescore)
        nlist = min(self.nlist or int(4 * sqrt(n)), n // 39)
        nprobe = min(self.nprobe or max(16, nlist // 16), nlist)
        return replace(self, kind=kind, codec=codec, nlist=nlist, nprobe=nprobe)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {k: v.value if isinstance(v, Enum) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "IndexSpec":
        """Return the spec that `as_dict` described."""
        return cls(**{**values, "kind": Kind(values["kind"]), "codec": Codec(values["codec"])})
