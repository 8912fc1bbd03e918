"""Distillation from end to end: texts -> teacher embeddings -> space -> student -> encoder folder -> quality report."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

from hpdsearch.common.files import atomic_write
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.data.parallel import NO_LANGUAGE, Pair
from hpdsearch.distillation.data.split import Split, split_texts
from hpdsearch.distillation.data.texts import TrainingSet, read_texts
from hpdsearch.distillation.export.model_card import (
    UNKNOWN_LICENSE,
    CardFields,
    Provenance,
    TextSource,
    render_model_card,
)
from hpdsearch.distillation.export.sentence_transformers import write_sentence_transformers
from hpdsearch.distillation.export.student import export_student
from hpdsearch.distillation.gates import QualityReport, evaluate_gates, format_percent
from hpdsearch.distillation.queries import FittedQueries, add_query_adapter
from hpdsearch.distillation.space.lookup import SPACE, load_space, space_of_encoder
from hpdsearch.distillation.spec import DistillSpec, ProjectionSpec
from hpdsearch.distillation.staging import check_output, create_staging, exclusive_lock, prepare_run, promote
from hpdsearch.distillation.student.build import postprocess_student
from hpdsearch.distillation.student.initial_model import InitialModel, load_initial_model, select_layers
from hpdsearch.distillation.student.student import Student, embed_ids, tokenize
from hpdsearch.distillation.student.vocabulary import trim_vocabulary
from hpdsearch.distillation.targets import fit_space, prepare_student
from hpdsearch.distillation.teacher.ensemble import EnsembleCache, TeacherEnsemble, TeacherName
from hpdsearch.distillation.training.plot import plot_training
from hpdsearch.distillation.training.trainer import LOG, train
from hpdsearch.distillation.translations import TranslationQuality, measure_translations
from hpdsearch.encoder import Device, Encoder, Space, write_space
from hpdsearch.encoder.bert import WORD_EMBEDDINGS
from hpdsearch.encoder.device import find_device
from hpdsearch.errors import DistillError
from hpdsearch.records import Document

VARIANCE_TEXTS = 4096  # texts that match_variance is computed on
BASE = "base"  # the built-in encoder that the report compares with
ENGLISH = "en"  # the language of the texts, for the model card
QUALITY, README, PLOT = "quality.json", "README.md", "loss.svg"

T = TypeVar("T", str, Document)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Distilled:
    """The result of a distillation.

    Attributes:
        folder: of the encoder: the output folder or, if a gate failed, the staging folder within it.
        promoted: whether the encoder is in the output folder.
        quality: quality report on held-out texts.
        space: of the encoder.
        explained_energy: share of the teacher's summed squares that a new space explains, 0..1; None for a given space.
        n_texts: training texts, augmented ones included.
        n_held_out: texts that were held out.
        has_plot: whether training/loss.svg was drawn, which needs matplotlib.
    """

    folder: Path
    promoted: bool
    quality: QualityReport
    space: Space
    explained_energy: float | None
    n_texts: int
    n_held_out: int
    has_plot: bool


def distill(
    texts: Iterable[str] | Iterable[Document],
    *,
    parallel: Sequence[Pair] = (),
    queries: Sequence[str] = (),
    teacher: TeacherName | Sequence[TeacherName],
    student: str | Path,
    output: str | Path,
    spec: DistillSpec | None = None,
    space: str | Path | None = None,
    teacher_assistant: str | Path | None = None,
    cache: Path | None = None,
    overwrite: bool = False,
    force: bool = False,
    device: str | Device = Device.AUTO,
    provenance: Provenance | None = None,
    progress: Progress = SILENT,
) -> Distilled:
    """Train a compact encoder to reproduce the embeddings of a teacher on these texts.

    If a call is interrupted or killed, the same call continues from the last shard of teacher embeddings and the last
    checkpoint.

    Args:
        texts: strings, of which duplicates are dropped, or documents, which are split into passages of the student's
            window.
        parallel: texts with translations, see `parallel.read_pairs`. The student learns the texts too, and for each
            translation the vector of its text (Reimers & Gurevych 2020, arXiv:2004.09813).
        queries: typical queries; the encoder gets a query adapter that is fitted to them and to the texts, see
            `queries.fit_queries`. They are not trained on unless they are among the texts.
        teacher: folder of a sentence-transformers or transformers model, or its name on the Hugging Face hub; or
            several of them, with weights (WeightedTeacher), whose concatenated vectors the student learns.
        student: the initial model: a built-in encoder, an encoder folder, a BERT folder or a name on the hub.
        output: the encoder folder. During the training it holds the checkpoint (see staging.py).
        spec: settings; None for the defaults.
        space: a built-in space, a space folder or an encoder folder with one, of this teacher; None: see
            DistillSpec.projection.
        teacher_assistant: an encoder of the same space. It embeds the texts beyond spec.n_teacher_texts or shorter
            than spec.min_teacher_words and, with a positive spec.ensemble_weight, all texts.
        cache: folder of the teachers' embeddings; None for the user's cache folder.
        overwrite: replace an encoder in `output`. It stays active until the new one is promoted.
        force: promote the encoder although a gate failed.
        device: runs the teacher, the assistant and the training: "cpu", "cuda" (a GPU), or "auto": a GPU if torch finds
            one.
        provenance: for the model card.
        progress: of the stages.

    Returns:
        The encoder folder and the quality report on held-out texts, which is also written to quality.json.

    Raises:
        EncoderError: the teacher, the teacher assistant or the space cannot be loaded, or there is no such device.
        DistillError: the student or the space does not exist, the settings do not fit, there are too few texts, the
            training diverged, `output` contains an encoder, or the disk is full.
        ShapeError: the texts vary in fewer directions than a new space has.
        CacheError: the cache cannot be used, or the disk is full.

    Source: Zhao et al. 2022, "Compressing sentence representation for semantic retrieval via homomorphic projective
    distillation", arXiv:2203.07687. Teacher assistant: Mirzadeh et al. 2020, arXiv:1902.03393.
    """
    output = Path(output)
    spec = spec or DistillSpec()
    check_output(output, overwrite=overwrite, used=(student, teacher_assistant))
    if space is not None and spec.projection is not None:
        raise DistillError("space: expected either a space or the projection (--dim, ...) of a new one, got both")
    given_space = load_space(space) if space is not None else None
    wanted = find_device(device)
    opened = TeacherEnsemble.load(teacher, device=wanted)
    init_model = load_initial_model(student)
    if given_space is None and spec.projection is None:
        given_space = space_of_encoder(student, init_model, teacher_hash=opened.sha256)
    return distill_from(
        opened,
        init_model,
        _collect_texts(texts, init_model),
        output,
        parallel=parallel,
        queries=queries,
        spec=spec,
        cache=EnsembleCache(opened, cache),
        space=given_space,
        assistant=Encoder.load(teacher_assistant, device=wanted) if teacher_assistant is not None else None,
        force=force,
        provenance=provenance or Provenance(),
        progress=progress,
    )


def distill_from(
    teacher: TeacherEnsemble,
    init_model: InitialModel,
    texts: Sequence[str],
    output: Path,
    *,
    parallel: Sequence[Pair] = (),
    queries: Sequence[str] = (),
    spec: DistillSpec,
    cache: EnsembleCache,
    space: Space | None,
    assistant: Encoder | None,
    force: bool,
    provenance: Provenance,
    progress: Progress,
) -> Distilled:
    """Distill with models that are loaded already; see `distill`. Without a space, a new one is fitted.

    The student is trained on the teacher's device.
    """
    split = split_texts(texts, spec, parallel)
    _check_settings(teacher, space, assistant, init_model, split, spec)
    cache.embed([*split.held_out, *split.by_teacher], progress=progress)
    with exclusive_lock(output):
        folder = prepare_run(output, _describe_run(teacher, init_model, split, space, assistant, spec))
        explained_energy = None
        if space is None:
            space, explained_energy = fit_space(folder / SPACE, cache, split, spec)
        else:
            logger.info("training into the space %s of %s", space.id, space.teacher)
        if spec.trims:
            init_model = _trim(init_model, split.training, spec.vocabulary_size)
        student = _train_student(
            space, cache, split, init_model, assistant, spec, folder, progress, device=teacher.device
        )
        staging = create_staging(output)
        write_space(
            staging / SPACE,
            teacher=space.teacher,
            teacher_hash=space.teacher_hash,
            components=space.components,
        )
        name = output.resolve().name
        encoder = export_student(
            student, staging, name=name, space=space.id, precision=spec.precision, int8_graph=spec.int8_graph
        )
        embeddings = cache.embeddings(split.held_out)
        window_ids = tokenize(init_model, split.held_out, max_tokens=init_model.max_tokens)
        vectors = encoder.encode(split.held_out)
        quality = evaluate_gates(
            split.held_out,
            teacher=embeddings,
            projected=space.project(embeddings),
            student=embed_ids(student, window_ids),
            encoder=vectors,
            built_in=Encoder.load(BASE).encode(split.held_out) if BASE in Encoder.names() else None,
            spec=spec.resolve_gates(),
            translations=_measure_translations(encoder, split, vectors),
        )
        fitted = add_query_adapter(staging, queries, split.training) if queries else None
        has_plot = plot_training(folder / LOG, folder / PLOT)
        card = _render_card(encoder, teacher, init_model, quality, provenance, split, fitted)
        report = json.dumps(quality.as_dict(), indent=2) + "\n"
        for file_name, content in ((QUALITY, report), (README, card)):
            with atomic_write(staging / file_name) as file:
                file.write(content.encode())
        write_sentence_transformers(staging)
        promoted = quality.passed or force
        if promoted:
            promote(output)
    return Distilled(
        folder=output if promoted else staging,
        promoted=promoted,
        quality=quality,
        space=space,
        explained_energy=explained_energy,
        n_texts=len(split.training),
        n_held_out=len(split.held_out),
        has_plot=has_plot,
    )


def _train_student(
    space: Space,
    cache: EnsembleCache,
    split: Split,
    init_model: InitialModel,
    assistant: Encoder | None,
    spec: DistillSpec,
    folder: Path,
    progress: Progress,
    *,
    device: str,
) -> Student:
    """Train the student and postprocess it. The targets on disk are closed when this returns."""
    training = spec.resolve_training()
    student, texts = prepare_student(space, cache, split, init_model, assistant, spec, folder, progress, device=device)
    held_out = TrainingSet(
        tokenize(init_model, split.held_out, max_tokens=training.max_tokens),
        space.project(cache.embeddings(split.held_out)),
    )
    init_tensors = {name: tensor.clone() for name, tensor in student.tensors.items()}
    train(student, texts, held_out, training, folder, progress=progress)
    taught = split.by_teacher[:VARIANCE_TEXTS]
    taught_ids = tokenize(init_model, taught, max_tokens=training.max_tokens)
    postprocess_student(student, init_tensors, TrainingSet(taught_ids, space.project(cache.embeddings(taught))), spec)
    return student


def _measure_translations(encoder: Encoder, split: Split, vectors: Matrix) -> TranslationQuality | None:
    """Search the held-out translations, given the vectors of the held-out texts; return None if there are none."""
    pairs = split.held_out_pairs
    if not pairs:
        return None
    return measure_translations(pairs, split.held_out, vectors, encoder.encode([pair.translation for pair in pairs]))


def _collect_texts(texts: Iterable[str] | Iterable[Document], init_model: InitialModel) -> list[str]:
    """Drop duplicate strings, or split documents into passages of the model's window."""

    def token_spans(block: list[str]) -> list[list[tuple[int, int]]]:
        return [encoding.offsets for encoding in init_model.tokenizer.encode_batch(block, add_special_tokens=False)]

    def require_all(kind: type[T]) -> Iterator[T]:
        for text in chain(first, stream):
            if not isinstance(text, kind):
                raise DistillError(f"texts: expected strings alone or documents alone, got a {type(text).__name__}")
            yield text

    if isinstance(texts, str):
        raise DistillError("texts: expected strings or documents, got one string; write [text]")
    stream = iter(texts)
    first = list(islice(stream, 1))
    if first and isinstance(first[0], str):
        return list(dict.fromkeys(require_all(str)))
    return read_texts(require_all(Document), token_spans, max_tokens=init_model.max_tokens).texts


def _check_settings(
    teacher: TeacherEnsemble,
    space: Space | None,
    assistant: Encoder | None,
    init_model: InitialModel,
    split: Split,
    spec: DistillSpec,
) -> None:
    """Raise the errors that would otherwise occur after hours of embedding."""
    dim = space.dim if space else (spec.projection or ProjectionSpec()).dim
    training = spec.resolve_training()
    n_texts = len(split.training)
    if space and space.teacher_hash != teacher.sha256:
        raise DistillError(
            f"space: expected one of teacher {teacher.name} ({teacher.sha256[:12]}), got one of {space.teacher} "
            f"({space.teacher_hash[:12]}); take that teacher, or omit --space to make a new space"
        )
    if teacher.dim < dim:
        raise DistillError(
            f"dim: expected at most {teacher.dim} (the teacher's width), got {dim}; give a smaller --dim"
        )
    if space is None and len(split.fitted) < dim:
        raise DistillError(
            f"texts: expected at least {dim} (dim) to fit the space to, got {len(split.fitted)}; give more texts or a "
            "smaller --dim"
        )
    if init_model.hidden < dim:
        raise DistillError(
            f"dim: expected at most {init_model.hidden} (width of student {init_model.name}), got {dim}; give a "
            "smaller --dim, or another student"
        )
    if spec.layers is not None:
        select_layers(init_model, spec.layers)
    if spec.trims:
        _trim(init_model, (), spec.vocabulary_size)
    if not training.loss.mse_weight + training.loss.similarity_weight + training.loss.kl_weight:
        raise DistillError(
            "loss: expected a weight above 0 for --mse-weight, --similarity-weight or --kl-weight, got 0 for all"
        )
    if n_texts < training.batch_size:
        raise DistillError(
            f"texts: expected at least {training.batch_size} (a batch) to train on, got {n_texts}; give more texts or "
            "a smaller --batch-size"
        )
    if not split.fitted:
        raise DistillError(
            f"min_teacher_words: expected training texts of at least {spec.min_teacher_words} words for the teacher, "
            "got only shorter ones; give a smaller --min-teacher-words"
        )
    if split.by_assistant and not assistant:
        raise DistillError(
            f"n_teacher_texts, min_teacher_words: expected a teacher assistant for the other {len(split.by_assistant)} "
            "texts, got none; name one with --teacher-assistant, or omit --n-teacher-texts and --min-teacher-words"
        )
    if assistant and (space is None or assistant.space != space.id):
        raise DistillError(
            f"teacher assistant: expected an encoder of the space to train into, got {assistant.name} of "
            f"{assistant.space}; give its space with --space"
        )


def _trim(init_model: InitialModel, texts: Sequence[str], size: int | None) -> InitialModel:
    """Remove from a model the tokens that no text contains, or all but the most frequent ones."""
    tokenizer, rows, _ = trim_vocabulary(init_model.tokenizer, init_model.tensors[WORD_EMBEDDINGS], texts, size=size)
    return replace(init_model, tokenizer=tokenizer, tensors=init_model.tensors | {WORD_EMBEDDINGS: rows})


def _describe_run(
    teacher: TeacherEnsemble,
    init_model: InitialModel,
    split: Split,
    space: Space | None,
    assistant: Encoder | None,
    spec: DistillSpec,
) -> dict[str, Any]:
    """Return everything that determines the result of the training. A resumed run compares it."""
    digest = hashlib.sha256(init_model.tokenizer.to_str().encode())
    for name in sorted(init_model.tensors):
        digest.update(init_model.tensors[name].tobytes())
    for texts in (split.held_out, split.by_teacher, split.by_assistant, *split.pairs):
        digest.update(len(texts).to_bytes(8, "little"))
        for text in texts:
            digest.update(json.dumps(text).encode())
    settings: dict[str, Any] = asdict(replace(spec, training=spec.resolve_training()))
    # These settings are used only after the training, so that they may be changed without training again.
    for name in ("gates", "precision", "int8_graph", "interpolate_init", "match_variance"):
        del settings[name]
    return {
        "teacher": {"name": teacher.name, "hash": teacher.sha256},
        "student": init_model.name,
        "space": space.id if space else None,
        "teacher_assistant": {"name": assistant.name, "hash": assistant.sha256} if assistant else None,
        "n_texts": len(split.training),
        "spec": settings,
        "sha256": digest.hexdigest(),
    }


def _render_card(
    encoder: Encoder,
    teacher: TeacherEnsemble,
    init_model: InitialModel,
    quality: QualityReport,
    provenance: Provenance,
    split: Split,
    fitted: FittedQueries | None,
) -> str:
    measure = f"% of the teacher's {quality.k} nearest neighbors among {quality.n_texts:,} held-out texts"
    results = {
        f"{measure}, {'BM25' if name == 'bm25' else name}": format_percent(estimate.mean)
        for name, estimate in quality.agreements.items()
    }
    if quality.translations:
        found = quality.translations
        measure = f"% of held-out translations nearest to their own text among {found.n_texts:,}"
        results |= {
            f"{measure}, {name or 'no language'} ({found.counts[name]})": format_percent(share)
            for name, share in found.found.items()
        }
    known_licenses = {**teacher.licenses, init_model.name: init_model.license}
    return render_model_card(
        CardFields(
            name=encoder.name,
            license=provenance.license,
            teacher=teacher.name,
            teachers=[each.name for each in teacher.teachers],
            student=init_model.name,
            licenses={**known_licenses, **provenance.licenses},
            space=encoder.space,
            dim=encoder.dim,
            max_tokens=encoder.max_tokens,
            sources=provenance.sources or [TextSource("texts", len(split.training), UNKNOWN_LICENSE)],
            results={**results, "mean cosine to the teacher in the space": f"{quality.cosine:.3f}"},
            languages=[ENGLISH, *sorted({pair.language for pair in split.pairs} - {ENGLISH, NO_LANGUAGE})],
            command=provenance.command,
            query_adapter=str(fitted) if fitted else "",
        )
    )
