"""A space: a teacher and a linear projection of its embeddings onto a few ordered directions.

Vectors of all encoders of one space can be compared. The id of a space is a hash of everything that defines it.
Source: Zhao et al. 2022, arXiv:2203.07687. docs/encoder-format.md describes the folder.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpdsearch.common.files import atomic_write, file_sha256, parse_json
from hpdsearch.common.vectors import Matrix, require_matrix, unit_rows
from hpdsearch.errors import EncoderError, ShapeError

FORMAT = 1
CARD = "space.json"
PROJECTION = "projection.safetensors"


@dataclass(frozen=True)
class Space:
    """A teacher plus a projection.

    Attributes:
        teacher: the teacher's name.
        teacher_hash: sha256 of everything that determines the teacher's vectors; "" if space.json lacks it.
        components: float32 (dim, teacher_dim), rows orthogonal but not of unit length, largest variance first.
        id: "sha256:" and the checksum of space.json, which contains the checksum of the projection.
    """

    teacher: str
    teacher_hash: str
    components: Matrix
    id: str

    @property
    def dim(self) -> int:
        """Width of the space."""
        return int(self.components.shape[0])

    @property
    def teacher_dim(self) -> int:
        """Width of the teacher's embeddings."""
        return int(self.components.shape[1])

    def project(self, embeddings: np.ndarray) -> Matrix:
        """Project teacher embeddings (n, teacher_dim) onto unit vectors of this space, float32 (n, dim).

        Raises:
            ShapeError: embeddings have another width, or are not finite.
        """
        require_matrix(embeddings, name="teacher embeddings", dim=self.teacher_dim)
        return unit_rows(embeddings @ self.components.T)


def write_space(folder: Path, *, teacher: str, teacher_hash: str, components: np.ndarray) -> Space:
    """Write a space folder and read it again; equal arguments give equal bytes and therefore an equal id.

    Args:
        folder: created if it does not exist.
        teacher: the teacher's name.
        teacher_hash: sha256 of everything that determines the teacher's vectors.
        components: float (dim, teacher_dim), rows orthogonal, of any length but 0, largest variance first.

    Raises:
        ShapeError: the rows of components are not orthogonal, or a row is zero.
    """
    from safetensors.numpy import save

    components = np.ascontiguousarray(components, dtype=np.float32)
    rows = unit_rows(components).astype(np.float64)
    worst = np.abs(rows @ rows.T - np.eye(len(rows))).max()
    if not worst < 1e-4:
        raise ShapeError(
            f"components: expected orthogonal rows that are not zero, got a cosine that is off by {worst:.2g}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / PROJECTION) as file:
        file.write(save({"components": components}))
    dim, teacher_dim = components.shape
    fields = {
        "format": FORMAT,
        "teacher": teacher,
        "teacher_hash": teacher_hash,
        "teacher_dim": teacher_dim,
        "dim": dim,
        "sha256": {PROJECTION: file_sha256(folder / PROJECTION)},
    }
    with atomic_write(folder / CARD) as file:
        file.write((json.dumps(fields, indent=2) + "\n").encode())
    return read_space(folder)


def read_space(folder: Path) -> Space:
    """Read and verify a space folder.

    Raises:
        EncoderError: a file is missing, altered, of another format, or lacks a field.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    for name in (CARD, PROJECTION):
        if not (folder / name).is_file():
            raise EncoderError(f"{folder}: expected a space folder, but there is no {name} in it; check the path")
    card = (folder / CARD).read_bytes()
    try:
        fields = parse_json(card)
        found = fields["format"]
        teacher = fields["teacher"]
        teacher_hash = fields.get("teacher_hash", "")
        shape = (fields["dim"], fields["teacher_dim"])
        checksum = fields["sha256"][PROJECTION]
    except (ValueError, KeyError, TypeError) as error:
        raise EncoderError(
            f"{folder / CARD}: expected the fields of a space, got {error!r}; copy the space folder again"
        ) from None
    if found != FORMAT:
        raise EncoderError(
            f"{folder / CARD}: expected format {FORMAT}, got {found!r}; upgrade hpdsearch or copy it again"
        )
    if checksum != file_sha256(folder / PROJECTION):
        raise EncoderError(f"{folder / PROJECTION}: the file was altered or truncated; copy the space folder again")
    try:
        components = load((folder / PROJECTION).read_bytes())["components"]
    except (SafetensorError, KeyError) as error:
        raise EncoderError(f"{folder / PROJECTION}: expected the tensor components, got {error!r}") from error
    if components.shape != shape:
        raise EncoderError(f"{folder / CARD}: expected components of shape {shape}, got {components.shape}")
    return Space(
        teacher=teacher,
        teacher_hash=teacher_hash,
        components=components,
        id=f"sha256:{hashlib.sha256(card).hexdigest()}",
    )
