"""The systems that `evaluate` measures: encoders, teachers, and query encoders with the documents of another system."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpdsearch.errors import EncoderError, ShapeError, require_extra

if TYPE_CHECKING:
    from hpdsearch.common.vectors import Matrix
    from hpdsearch.distillation.teacher.ensemble import EnsembleCache
    from hpdsearch.encoder import Device

    Encode = Callable[[list[str]], Matrix]


@dataclass(frozen=True)
class System:
    """A system to measure: an encoder, a teacher, or a query encoder with the documents of another system.

    Attributes:
        name: heading of its column.
        space: id of the space of its vectors; None for a teacher's own.
        dim: dimensions of the vectors.
        encode: documents -> vectors (n, dim).
        encode_queries: queries -> vectors (n, dim).
        is_teacher: the other systems are shown in percent of this one.
    """

    name: str
    space: str | None
    dim: int
    encode: "Encode"
    encode_queries: "Encode"
    is_teacher: bool = False


def load_systems(
    encoder: str | None,
    teachers: tuple[str, ...],
    space: Path | None,
    cache: Path | None,
    dim: int | None,
    device: "Device",
    query_encoder: str | None = None,
) -> list[System]:
    """Load the systems to measure: encoder, teacher, projected teacher, and the query encoder with their documents.

    Raises:
        click.UsageError: the options do not go together.
        EncoderError: a model or the device cannot be used, or the query encoder or the teacher does not fit the space.
        ShapeError: `dim` exceeds the dimensions of the space.
    """
    from hpdsearch.encoder import DEFAULT_ENCODER

    if space and not teachers:
        raise click.UsageError("--space projects the vectors of a teacher: name one with --teacher")
    systems = [_load_encoder(encoder or DEFAULT_ENCODER, dim, device)] if encoder or not teachers else []
    systems += _load_teacher(teachers, space, cache, dim, device) if teachers else []
    if query_encoder:
        searched = [system for system in systems if system.space]
        if not searched:
            raise click.UsageError("--query-encoder needs documents of its space: give --encoder or --space")
        systems += [_load_query_encoder(query_encoder, documents, device) for documents in searched]
    return systems


def _load_encoder(name: str, dim: int | None, device: "Device") -> System:
    from hpdsearch.encoder import Encoder

    encoder = Encoder.load(name, dim=dim, device=device)
    return System(encoder.name, encoder.space, encoder.dim, encoder.encode, encoder.encode_queries)


def _load_teacher(
    names: tuple[str, ...], space: Path | None, cache: Path | None, dim: int | None, device: "Device"
) -> list[System]:
    """Load the teacher or the ensemble with all its dimensions, and with `space` projected and truncated to `dim`."""
    require_extra("torch", "transformers", extra="distill", feature="--teacher")
    from hpdsearch.distillation.spec import WeightedTeacher
    from hpdsearch.distillation.teacher.ensemble import EnsembleCache, TeacherEnsemble
    from hpdsearch.encoder import read_space

    teacher = TeacherEnsemble.load([WeightedTeacher.parse(name) for name in names], device=device)
    encode = _encode_cached(EnsembleCache(teacher, cache))
    for_queries = teacher.for_queries()
    encode_queries = encode if for_queries is teacher else _encode_cached(EnsembleCache(for_queries, cache))
    systems = [System(teacher.name, None, teacher.dim, encode, encode_queries, is_teacher=True)]
    if space:
        found = read_space(space)
        if found.teacher_dim != teacher.dim:
            raise EncoderError(
                f"{space}: expected a space for the {teacher.dim} dimensions of {teacher.name}, "
                f"got one for the {found.teacher_dim} dimensions of {found.teacher}"
            )
        if dim is not None and dim > found.dim:
            raise ShapeError(f"--dim: expected 1..{found.dim}, the dimensions of {space}, got {dim}")
        width = dim or found.dim

        def project(encode: "Encode") -> "Encode":  # evaluation scales the vectors to unit length
            return lambda texts: found.project(encode(texts))[:, :width]

        name = f"{teacher.name} projected"
        systems.append(System(name, found.id, width, project(encode), project(encode_queries)))
    return systems


def _encode_cached(cache: "EnsembleCache") -> "Encode":
    """Return a function that embeds with the teachers of a cache, each text once."""

    def encode(texts: list[str]) -> "Matrix":
        cache.embed(texts)
        return cache.embeddings(texts)

    return encode


def _load_query_encoder(name: str, documents: System, device: "Device") -> System:
    """Load an encoder for queries, to search the documents of another system."""
    from hpdsearch.encoder import Encoder

    encoder = Encoder.load(name, dim=documents.dim, device=device)
    if encoder.space != documents.space:
        raise EncoderError(
            f"--query-encoder: expected an encoder of the space of {documents.name}, {documents.space}, "
            f"but {encoder.name} is of {encoder.space}; take one that `hpdsearch encoders` lists with that space, or "
            "make one with hpdsearch distill --space"
        )
    return System(
        f"queries {encoder.name}, documents {documents.name}",
        encoder.space,
        encoder.dim,
        documents.encode,
        encoder.encode_queries,
    )
