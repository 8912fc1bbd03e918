"""The draft of an index: blocks of rows with vectors of a fast encoder, which those of the index's encoder replace."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DRAFT = "draft"  # key of the index's settings; absent or null: every vector is one of the index's encoder

Block = tuple[int, int]  # first row and end row of passages that were encoded together


@dataclass(frozen=True)
class Draft:
    """The rows that still have vectors of another encoder.

    Attributes:
        number: number in the name of the file that collects the refined vectors.
        encoder: name of the encoder that made the draft.
        blocks: ascending. Refining encodes the passages of a block together, as direct encoding would: a vector differs
            in its last bits if other texts are in its batch.
    """

    number: int
    encoder: str
    blocks: tuple[Block, ...]

    @classmethod
    def read(cls, meta: Mapping[str, Any]) -> "Draft | None":
        """Return the draft of an index with these settings; None if it has none."""
        stored = meta.get(DRAFT)
        if stored is None:
            return None
        return cls(stored["number"], stored["encoder"], tuple((start, end) for start, end in stored["blocks"]))

    def as_dict(self) -> dict[str, Any] | None:
        """Return the JSON value that the settings hold; None if no block is left."""
        if not self.blocks:
            return None
        return {"number": self.number, "encoder": self.encoder, "blocks": [list(block) for block in self.blocks]}
