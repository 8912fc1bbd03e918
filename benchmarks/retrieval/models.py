"""Load the encoders of the retrieval benchmark, and list their indexes at each size and the end-to-end paths."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from typing import Any

from benchmarks.common.model2vec import model2vec_source
from benchmarks.common.vector_cache import EncoderSource, encoder_source, teacher_source
from benchmarks.retrieval.end_to_end import EndToEnd
from benchmarks.retrieval.faiss_baselines import FLAT, IVF
from benchmarks.retrieval.systems import ALL, CHOSEN, OF_OTHERS, OF_PEERS, OF_TEACHER, TEACHER, IndexGroup, OpenIndex
from benchmarks.retrieval.vectors import BackProjectedTexts, EncodedTexts, Texts
from hpdsearch import Encoder
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder import read_space

BACKEND = "onnx"  # of queries and of the cached vectors
PATH_IVF, PATH_FLAT = "ivf pq", "flat pq"  # our indexes in the table of end-to-end latency


class Models:
    """The encoders of the benchmark. Each is loaded at its first use and encodes every text once."""

    def __init__(self, options: argparse.Namespace, texts: Texts) -> None:
        """Load the document encoder and the query encoder.

        Raises:
            SystemExit: the query encoder has another space, or the document encoder has too few dimensions.
        """
        self.options = options
        self.texts = texts
        self.encoder = Encoder.load(options.encoder, backend=BACKEND)
        self.query_encoder = Encoder.load(options.query_encoder, backend=BACKEND, threads=1)
        self.narrow = min(options.dims)
        self.wide = max(options.dims)
        if self.wide > self.encoder.model_dim:
            limit = f"expected at most {self.encoder.model_dim} (encoder {self.encoder.name})"
            raise SystemExit(f"--dims: {limit}, got {self.wide}")
        if self.query_encoder.space != self.encoder.space:
            spaces = f"expected an encoder of the space of {self.encoder.name}, {self.encoder.space}"
            raise SystemExit(f"--query-encoder: {spaces}, got {self.query_encoder.name} of {self.query_encoder.space}")

    @cached_property
    def vectors(self) -> EncodedTexts:
        """Return the document encoder's vectors."""
        return self._encode(encoder_source(self.encoder, self.encoder.name, BACKEND))

    @cached_property
    def back_projected(self) -> BackProjectedTexts:
        """Return the document encoder's vectors, back-projected to the teacher's width."""
        space = read_space(self.options.space)
        return BackProjectedTexts(self.vectors, space.components, space.teacher)

    @cached_property
    def teacher_source(self) -> EncoderSource | None:
        """Return the teacher, or None without one."""
        return teacher_source(self.options.teacher) if self.options.teacher else None

    @cached_property
    def teacher(self) -> EncodedTexts | None:
        """Return the teacher's vectors, or None without a teacher."""
        return self._encode(self.teacher_source) if self.teacher_source else None

    def is_back_projected(self, n: int) -> bool:
        """Tell whether the teacher rows of a size are back-projected vectors."""
        return not self.options.teacher or n > self.options.teacher_up_to

    def groups(self, n: int) -> list[IndexGroup]:
        """Return the encoders with their indexes at one size, the teacher first."""
        is_back_projected = self.is_back_projected(n)
        teacher = self.back_projected if is_back_projected else self.teacher
        assert teacher is not None
        found = [
            IndexGroup(TEACHER, teacher, teacher.width, OF_TEACHER, is_ours=False, is_back_projected=is_back_projected)
        ]
        found += [self.group(dim) for dim in sorted(self.options.dims)]
        return [*found, *(self._others() if n == self.options.others_at else [])]

    def group(self, dim: int) -> IndexGroup:
        """Return the document encoder at one width, with its indexes."""
        return IndexGroup(self.encoder.name, self.vectors, dim, ALL if dim == self.narrow else CHOSEN)

    def _others(self) -> Iterator[IndexGroup]:
        for name in self.options.others:
            encoder = Encoder.load(name, backend=BACKEND)
            vectors = self._encode(encoder_source(encoder, encoder.name, BACKEND))
            for dim in sorted(self.options.dims, reverse=True):
                yield IndexGroup(encoder.name, vectors, dim, OF_OTHERS)
        baselines = [teacher_source(self.options.student)] if self.options.student else []
        baselines += [model2vec_source(self.options.teacher)] if self.options.model2vec else []
        for source in baselines:
            vectors = self._encode(source)
            yield IndexGroup(source.name, vectors, vectors.width, OF_PEERS, is_ours=False)

    def _encode(self, source: EncoderSource) -> EncodedTexts:
        return EncodedTexts(source, self.texts, self.options.cache)

    def paths(self, opened: Sequence[OpenIndex], stack: ExitStack) -> list[EndToEnd]:
        """Return the end-to-end paths through open indexes; encoders use one thread until the stack closes."""
        systems = {one.name: one for one in opened}
        name = self.encoder.name
        ivf, flat = (f"{name}, {self.narrow}, {PATH_IVF}", f"{name}, {self.wide}, {PATH_FLAT}")
        paths = []
        if self.teacher and self.teacher_source:
            encode = partial(_encode_text, self.teacher_source)
            stack.callback(_limit_torch_threads())
            for index in (FLAT, IVF):
                system = systems[f"{TEACHER}, {self.teacher.width}, {index}"]
                paths.append(EndToEnd(self.teacher.name, encode, self.teacher.query_vectors(), system))
        encoder = Encoder.load(self.options.encoder, backend=BACKEND, threads=1)
        for dim, index in ((self.narrow, ivf), (self.wide, flat)):
            encode = partial(_encode_text, encoder.truncate(dim))
            paths.append(EndToEnd(name, encode, self.vectors.query_vectors(dim), systems[index]))
        query_encoder = self.query_encoder.truncate(self.narrow)
        vectors = query_encoder.encode_queries(self.texts.query_texts)
        return [*paths, EndToEnd(query_encoder.name, partial(_encode_text, query_encoder), vectors, systems[ivf])]

    def settings(self) -> dict[str, Any]:
        """Return the encoders' settings for a result."""
        space = read_space(self.options.space)
        return {
            "encoder": f"{self.encoder.name} {self.encoder.sha256}",
            "others": [f"{one.name} {one.sha256}" for one in map(Encoder.load, self.options.others)],
            "asks": f"{self.query_encoder.name} {self.query_encoder.sha256}",  # stored
            "space": f"{space.id}, of {space.teacher}",
            "teacher": self.teacher_source.key if self.teacher_source else None,
            "student": self.options.student.resolve().name if self.options.student else None,
            "model2vec": self.options.model2vec,
            "backend": BACKEND,
        }


def _encode_text(encoder: EncoderSource | Encoder, text: str) -> Matrix:
    return encoder.encode_queries([text]) if isinstance(encoder, Encoder) else encoder.encode([text])


def _limit_torch_threads() -> Any:
    """Limit torch to one thread and return a function that restores the number of threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return partial(torch.set_num_threads, threads)
