"""Measure the quality of the encoders, their teacher, MiniLM, model2vec and BM25 on sentence similarity and retrieval.

    python -m benchmarks.quality.run --data FOLDER --teacher ~/.cache/hpdsearch-models/all-mpnet-base-v2 --model2vec \
        --student ~/.cache/hpdsearch-models/all-MiniLM-L6-v2 --fit-texts texts/*.txt.gz

FOLDER/sts contains STS tasks and FOLDER/retrieval BEIR folders, in the formats of `hpdsearch evaluate`. Every system
encodes each text once, and narrower vectors are truncated from these. The vectors are kept, so that a repeat encodes
nothing. Search is exact. Without a teacher there are no percentages and no intervals.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.common.harness import CACHE, file_identity, open_bytes, positive
from benchmarks.common.labels import system_label
from benchmarks.common.machine import package_versions
from benchmarks.common.model2vec import DIM as MODEL2VEC_DIM
from benchmarks.common.model2vec import model2vec_source, model2vec_versions
from benchmarks.common.results import RESULTS, plain_table, result, write_result
from benchmarks.common.vector_cache import (
    Encode,
    EncoderSource,
    Texts,
    cached_encoder,
    collect_texts,
    encoder_source,
    open_teacher_cache,
    teacher_source,
)
from benchmarks.quality.goals import measure_goals
from benchmarks.quality.intervals import ROUNDS
from benchmarks.quality.judge import RowKind, System, measure, measure_bm25, rank_bm25, system_row, system_table
from hpdsearch.common.files import file_sha256
from hpdsearch.distillation.space.projection import fit_projection
from hpdsearch.distillation.spec import ProjectionSpec
from hpdsearch.encoder import Backend, Encoder, Space, read_card, read_space
from hpdsearch.encoder.backend_choice import encoder_trial, time_sessions
from hpdsearch.encoder.backends import open_session
from hpdsearch.encoder.folder import BUILT_IN, INT8_MODEL, find_folder
from hpdsearch.evaluation import Collection, StsTask, read_collections, read_sts

DIMS = (256, 192, 128, 96, 64)
BASELINE_DIMS = (256, 128)
T = TypeVar("T", StsTask, Collection)
INT8, FLOAT32 = "onnx-int8", "onnx"  # backends of the same encoder
FIT = "fit"  # name of the texts on which MiniLM's projection is fitted


def main() -> None:
    """Read the options, measure one system after the other, write the result."""
    options = parse_options()
    tasks = select_named(read_sts(options.data / "sts", options.subset), options.only)
    collections = select_named(read_collections(options.data / "retrieval"), options.only)
    bm25 = {each.name: rank_bm25(each) for each in collections}
    rows = []
    teacher = None
    for system in iterate_systems(options, collect_texts(tasks, collections)):
        print(f"{system.name}, {system.dim}", file=sys.stderr)
        found = measure(system, tasks, collections)
        teacher = found if system.kind is RowKind.TEACHER else teacher
        rows.append(system_row(found, teacher, tasks, options.seed))
    rows.append(system_row(measure_bm25(collections, bm25), teacher, tasks, options.seed))
    measurements, targets = measure_goals(rows, options.student.resolve().name if options.student else "")
    loaded = [Encoder.load(location) for location in options.encoders]
    settings = {
        "subset": options.subset,
        "tasks": [f"{task.name} ({len(task.pairs)} pairs)" for task in tasks],
        "collections": [f"{each.name} ({len(each.queries)} queries)" for each in collections],
        "corpora": [{"name": each.name} | {"sha256": file_sha256(each.corpus)} for each in collections],
        "encoders": [f"{one.name} {one.sha256}" for one in loaded],
        "backends": f"{INT8} where the encoder has it and the processor computes it exactly, else {FLOAT32}; {FLOAT32} "
        "for the rows of float32",
        "teacher": describe_teacher(options),
        "fit_texts": [file_identity(path) for path in options.fit_texts],
        "n_fit": options.n_fit,
        "seed": options.seed,
        "bootstrap_rounds": ROUNDS,
        "order": "one system after the other, as listed",
    }
    versions = package_versions(["ir-measures"]) | (model2vec_versions() if options.model2vec else {})
    made = result("quality", settings, measurements, targets, versions=versions)
    print(plain_table([[system_label(row[0]), *row[1:]] for row in system_table(rows)]))
    write_result(made | {"systems": rows}, options.output)


def describe_teacher(options: argparse.Namespace) -> str:
    """Return where the teacher's embeddings come from, and their precision."""
    if options.teacher_cache:
        return "read from a cache in float16"
    return "computed in float32" if options.teacher else "none"


def parse_options() -> argparse.Namespace:
    """Return the options."""
    parser = option_parser(__doc__, RESULTS / "quality.json")
    parser.add_argument("--subset", default="test", help="subset of the STS tasks")
    parser.add_argument("--only", nargs="+", help="only these tasks and collections")
    return parser.parse_args()


def option_parser(description: str | None, output: Path) -> argparse.ArgumentParser:
    """Return a parser of the options that name the systems, for iterate_systems, and the result file."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--output", "-o", type=Path, default=output, help="result file")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds sts/ and retrieval/")
    parser.add_argument("--encoders", nargs="+", default=["base", "small", "static"], help="names or folders")
    parser.add_argument("--teacher", type=Path, help="teacher's folder; model2vec is distilled from it, too")
    parser.add_argument("--teacher-cache", type=Path, help="cache folder of the teacher's embeddings, with every text")
    parser.add_argument("--space", type=Path, help="folder of the space; default: the built-in space of the encoders")
    parser.add_argument("--student", type=Path, help="folder of the model from which the students start (MiniLM)")
    parser.add_argument(
        "--student-weight",
        type=float,
        default=0.7,
        help="weight of --student where the space's teacher is an ensemble of --teacher and --student",
    )
    parser.add_argument(
        "--fit-texts", type=Path, nargs="+", default=[], help="texts, one per line, to fit the projection of --student"
    )
    parser.add_argument(
        "--n-fit", type=positive, default=10_000, help="number of lines to fit on, in equal parts from each file"
    )
    parser.add_argument("--model2vec", action="store_true", help="also measure model2vec, distilled from the teacher")
    parser.add_argument("--cache", type=Path, default=CACHE / "vectors", help="folder for vectors; they are kept")
    parser.add_argument(
        "--dims", type=positive, nargs="+", default=DIMS, help="dimensions of the encoders and the teacher"
    )
    parser.add_argument(
        "--peer-dims", type=positive, nargs="+", default=BASELINE_DIMS, help="dimensions of the other systems"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap and of the lines to fit on")
    return parser


def iterate_systems(options: argparse.Namespace, texts: Texts, *, in_float: bool = True) -> Iterator[System]:
    """Yield the systems, the teacher first if there is one; each encodes its texts at its first use.

    Args:
        options: of option_parser.
        texts: all texts that the systems will encode.
        in_float: also yield encoders with integer products in float32.
    """
    if options.model2vec and not options.teacher:
        raise SystemExit("--model2vec needs --teacher: the folder that it distills")
    teacher: tuple[str, Encode] | None = None
    if options.teacher_cache:
        teacher = open_teacher_cache(options.teacher_cache)
    elif options.teacher:
        source = teacher_source(options.teacher)
        teacher = source.name, cached_encoder(source, texts, options.cache)
    space = find_space(options.space, options.encoders)
    if teacher:
        name, encode = teacher
        yield System(RowKind.TEACHER, name, encoder_width(encode, texts), encode)
    lines = sample_lines(options.fit_texts, options.n_fit, options.seed) if options.student else []
    student: tuple[str, Encode] | None = None
    if options.student:
        source = teacher_source(options.student)
        student = source.name, cached_encoder(source, {**texts, FIT: lines} if lines else texts, options.cache)
    if teacher and student and space:
        widths = [encoder_width(encode, texts) for _, encode in (teacher, student)]
        if space.teacher_dim == sum(widths):
            teacher = ensemble(teacher, student, options.student_weight)
    if teacher and space:
        name, encode = teacher
        for dim in valid_dims(space.dim, options.dims):
            yield System(RowKind.PROJECTED, f"{name} projected", dim, truncate(project(encode, space.components), dim))
    if student:
        yield from student_systems(*student, texts, lines, options.peer_dims)
    for location in options.encoders:
        yield from encoder_systems(options, texts, location, teacher, space, in_float=in_float)
    if options.model2vec:
        vectors = cached_encoder(model2vec_source(options.teacher), texts, options.cache)
        for dim in valid_dims(MODEL2VEC_DIM, options.peer_dims):
            yield System(RowKind.PEER, "model2vec", dim, truncate(vectors, dim))


def encoder_systems(
    options: argparse.Namespace,
    texts: Texts,
    location: str,
    teacher: tuple[str, Encode] | None,
    space: Space | None,
    *,
    in_float: bool,
) -> Iterator[System]:
    """Yield an encoder at every width, in asymmetric search with the teacher's documents, and in hybrid search.

    Where the processor computes integer products exactly, it yields the encoder in float32 at every width too.
    """
    runs_int8 = has_exact_int8(find_folder(location))
    backend = INT8 if runs_int8 else FLOAT32
    encoder = Encoder.load(location, backend=backend)
    name = encoder.name
    source = encoder_source(encoder, name, backend)
    vectors = cached_encoder(source, texts, options.cache)
    for dim in valid_dims(encoder.dim, options.dims):
        yield System(RowKind.ENCODER, name, dim, truncate(vectors, dim), of_queries(source, vectors, dim))
    if teacher and space and space.id == encoder.space:
        documents = project(teacher[1], space.components)
        for dim in valid_dims(encoder.dim, options.peer_dims):
            queries = of_queries(source, vectors, dim)
            asked = f"{name} asks {teacher[0]} projected"  # stored
            yield System(RowKind.ASYMMETRIC, asked, dim, truncate(documents, dim), queries)
    queries = of_queries(source, vectors, encoder.dim)
    yield System(RowKind.HYBRID, f"{name} hybrid", encoder.dim, vectors, queries, encoder.known_words)
    if runs_int8 and in_float:
        label = f"{name} float32"
        source = encoder_source(Encoder.load(location, backend=FLOAT32), label, FLOAT32)
        vectors = cached_encoder(source, texts, options.cache)
        for dim in valid_dims(encoder.dim, options.dims):
            yield System(RowKind.FLOAT, label, dim, truncate(vectors, dim), of_queries(source, vectors, dim))


def has_exact_int8(folder: Path) -> bool:
    """Return whether an encoder has integer products, and none of them overflows on this processor."""
    if not (folder / INT8_MODEL).is_file():
        return False
    sessions = {one.value: open_session(folder, one) for one in (Backend.ONNX, Backend.ONNX_INT8)}
    return INT8 in time_sessions(sessions, encoder_trial(read_card(folder).max_tokens))


def of_queries(source: EncoderSource, vectors: Encode, dim: int) -> Encode:
    """Return an encoder of texts as queries, with `dim` dimensions, from their vectors as documents."""
    return lambda texts: source.adapt_queries(vectors(texts))[:, :dim]


def student_systems(name: str, encode: Encode, texts: Texts, lines: list[str], dims: Sequence[int]) -> Iterator[System]:
    """Yield the students' initial model at full width, and projected on its own leading directions on the lines."""
    yield System(RowKind.PEER, name, encoder_width(encode, texts), encode)
    if lines:
        projection = fit_projection([encode(lines)], ProjectionSpec(dim=max(dims)))
        for dim in dims:
            yield System(RowKind.PEER, f"{name} projected", dim, truncate(project(encode, projection.components), dim))


def ensemble(teacher: tuple[str, Encode], student: tuple[str, Encode], weight: float) -> tuple[str, Encode]:
    """Return the name and the unit vectors of an ensemble of two teachers, the first with the weight 1."""
    from hpdsearch.distillation.teacher.ensemble import concatenate_weighted, ensemble_name

    weights = (1.0, weight)
    (name, encode), (other, encode_other) = teacher, student
    return ensemble_name([name, other], weights), lambda texts: concatenate_weighted(
        [encode(texts), encode_other(texts)], weights
    )


def sample_lines(paths: Sequence[Path], n: int, seed: int) -> list[str]:
    """Return about n distinct lines, the same number from each file if the file has enough."""
    rng = np.random.default_rng(seed)
    chosen: dict[str, None] = {}
    for path in sorted(paths):
        with open_bytes(path) as file:
            lines = file.read().decode().splitlines()
        n_lines = min(len(lines), -(-n // len(paths)))
        chosen |= dict.fromkeys(lines[number] for number in np.sort(rng.choice(len(lines), n_lines, replace=False)))
    return list(chosen)


def find_space(folder: Path | None, encoders: Sequence[str]) -> Space | None:
    """Return the space of a folder, or the built-in space of the first encoder; None if there is none."""
    if folder:
        return read_space(folder)
    wanted = Encoder.load(encoders[0]).space
    cards = (BUILT_IN / "spaces").glob("*/space.json")
    found = [card.parent for card in cards if f"sha256:{file_sha256(card)}" == wanted]
    return read_space(found[0]) if found else None


def select_named(found: list[T], only: Sequence[str] | None) -> list[T]:
    """Return the tasks or collections with the given names, or all for None.

    Raises:
        SystemExit: none has such a name.
    """
    kept = [each for each in found if only is None or each.name in only]
    if not kept:
        raise SystemExit(f"--only: expected some of {', '.join(each.name for each in found)}, got {only}")
    return kept


def valid_dims(full: int, wanted: Sequence[int]) -> list[int]:
    """Return the wanted dimensions up to `full`; `full` itself if all are larger."""
    return [dim for dim in wanted if dim <= full] or [full]


def encoder_width(encode: Encode, texts: Texts) -> int:
    """Return the dimensions of the vectors."""
    return int(encode(next(iter(texts.values()))[:1]).shape[1])


def truncate(encode: Encode, dim: int) -> Encode:
    """Return an encoder of vectors truncated to `dim` dimensions; the evaluation normalizes them."""
    return lambda texts: encode(texts)[:, :dim]


def project(encode: Encode, components: np.ndarray) -> Encode:
    """Return an encoder of vectors projected by components (dim, teacher_dim)."""
    return lambda texts: encode(texts) @ components.T


if __name__ == "__main__":
    main()
