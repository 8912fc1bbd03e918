"""Distillation from end to end: texts -> teacher embeddings -> space -> student -> encoder folder -> verdict."""

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
from hpdsearch.distillation.data.texts import read_texts
from hpdsearch.distillation.export.model_card import CardFields, TextSource, model_card
from hpdsearch.distillation.export.onnx_graph import WORDS
from hpdsearch.distillation.export.sentence_transformers import write_sentence_transformers
from hpdsearch.distillation.gates import Verdict, judge
from hpdsearch.distillation.space.lookup import SPACE, find_space, space_of_encoder
from hpdsearch.distillation.space.projection import ProjectionSpec
from hpdsearch.distillation.spec import NOT_STATED, DistillSpec, Origin, Split, split_texts
from hpdsearch.distillation.staging import begin_candidate, begin_training, put_in_force, require_free, room
from hpdsearch.distillation.student.base import Base, keep_layers, load_base
from hpdsearch.distillation.student.build import export_student, finish_student
from hpdsearch.distillation.student.student import student_vectors, token_ids
from hpdsearch.distillation.student.vocabulary import trim_vocabulary
from hpdsearch.distillation.targets import begin_student, fitted_space
from hpdsearch.distillation.teacher.cache import EmbeddingCache
from hpdsearch.distillation.teacher.teacher import Teacher, embed, open_cache
from hpdsearch.distillation.training.plot import plot_training
from hpdsearch.distillation.training.trainer import LOG, Texts, train
from hpdsearch.encoder import Encoder, Space, write_space
from hpdsearch.errors import DistillError
from hpdsearch.records import Document

BLOCK = 4096  # texts that a trained student's mean squares are taken over
VERDICT, README, PLOT = "verdict.json", "README.md", "loss.svg"

T = TypeVar("T", str, Document)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Distilled:
    """What was made.

    Attributes:
        folder: of the encoder: the output, or, if the verdict failed, the candidate within it.
        in_force: whether that is the output.
        verdict: on held-out texts.
        space: of the encoder.
        energy: share of the teacher's summed squares that a new space explains, 0..1; None for a space that was given.
        n_texts: texts that were learned from, variants included.
        n_held_out: texts that judged.
        has_plot: whether training/loss.svg was drawn; it takes matplotlib.
    """

    folder: Path
    in_force: bool
    verdict: Verdict
    space: Space
    energy: float | None
    n_texts: int
    n_held_out: int
    has_plot: bool


def distill(
    texts: Iterable[str] | Iterable[Document],
    *,
    teacher: str | Path,
    student: str | Path,
    output: str | Path,
    spec: DistillSpec | None = None,
    space: str | Path | None = None,
    assistant: str | Path | None = None,
    cache: Path | None = None,
    overwrite: bool = False,
    force: bool = False,
    origin: Origin | None = None,
    progress: Progress = SILENT,
) -> Distilled:
    """Make a compact encoder from a teacher, on any texts.

    Interrupted or killed, the same call goes on: from the last shard of teacher embeddings and the last checkpoint.

    Args:
        texts: strings are taken as they are, each once; documents are cut into passages that the student reads whole.
        teacher: folder of a sentence-transformers or transformers model, or its name on a hub.
        student: a built-in encoder, an encoder folder, a BERT folder or a hub's name: what training begins from.
        output: the encoder folder; while training it holds the checkpoint (see candidate.py).
        spec: what is made; None for the defaults.
        space: a built-in space, a space folder or an encoder folder with one, of this teacher; None: see
            DistillSpec.projection.
        assistant: an encoder of the same space that embeds the texts beyond spec.teacher_texts, with spec.anchor all.
        cache: folder for the teachers' embeddings; None for the user's cache folder.
        overwrite: replace an encoder that is in `output`; it stays in force until the new one has passed.
        force: let the encoder come into force although its verdict failed.
        origin: for the model card.
        progress: of the phases.

    Returns:
        Where the encoder is, and the verdict on held-out texts, which is also in the folder's verdict.json.

    Raises:
        EncoderError: no such teacher or assistant, or a damaged space.
        DistillError: no such student or space, too few texts, a base that cannot be trained, a diverged training, an
            encoder in `output`, or a full disk.
        ShapeError: texts that vary in fewer directions than the space has.
        CacheError: the cache cannot be used, or the disk is full.

    Source: Zhao et al. 2022, arXiv:2203.07687.
    """
    output, spec = Path(output), spec or DistillSpec()
    require_free(output, overwrite=overwrite, used=(student, assistant))
    if space is not None and spec.projection is not None:
        raise DistillError(
            "space: expected a space, or the projection (dim, centred, whitening) of a new one, got both"
        )
    found = find_space(space) if space is not None else None
    opened = Teacher.load(teacher)
    base = load_base(student)
    if found is None and spec.projection is None:
        found = space_of_encoder(student, base, teacher_hash=opened.sha256)
    return distill_from(
        opened,
        base,
        _as_strings(texts, base),
        output,
        spec=spec,
        cache=open_cache(opened, cache),
        space=found,
        assistant=Encoder.load(assistant) if assistant is not None else None,
        force=force,
        origin=origin or Origin(),
        progress=progress,
    )


def distill_from(
    teacher: Teacher,
    base: Base,
    texts: Sequence[str],
    output: Path,
    *,
    spec: DistillSpec,
    cache: EmbeddingCache,
    space: Space | None,
    assistant: Encoder | None,
    force: bool,
    origin: Origin,
    progress: Progress,
) -> Distilled:
    """Do what `distill` says with what it has opened; without a space a new one is fitted."""
    training, split = spec.completed_training(), split_texts(texts, spec)
    _require_fitting(teacher, space, assistant, base, split, spec)
    embed(teacher, [*split.held_out, *split.by_teacher], cache, progress=progress)
    with room(output):
        folder = begin_training(output, _settings(teacher, base, split, space, assistant, spec))
        energy = None
        if space is None:
            space, energy = fitted_space(folder / SPACE, teacher, cache, split, spec)
        else:
            logger.info("trained into the space %s of %s", space.id, space.teacher)
        if spec.trim_vocabulary:
            tokenizer, words, _ = trim_vocabulary(base.tokenizer, base.tensors[WORDS], split.learned)
            base = replace(base, tokenizer=tokenizer, tensors=base.tensors | {WORDS: words})
        student, known = begin_student(space, cache, split, base, assistant, spec, folder, progress)
        projected = space.project(cache.embeddings(split.held_out))
        judged = Texts(token_ids(base, split.held_out, max_tokens=training.max_tokens), projected)
        untrained = {name: tensor.clone() for name, tensor in student.tensors.items()}
        train(student, known, judged, training, folder, progress=progress)
        some = space.project(cache.embeddings(split.by_teacher[:BLOCK]))
        finish_student(student, untrained, Texts(known.ids[: len(some)], some), spec)
        candidate = begin_candidate(output)
        write_space(
            candidate / SPACE,
            teacher=space.teacher,
            teacher_hash=space.teacher_hash,
            components=space.components,
        )
        encoder = export_student(
            student, candidate, name=output.resolve().name, space=space.id, precision=spec.precision
        )
        verdict = judge(
            split.held_out,
            teacher=cache.embeddings(split.held_out),
            projected=projected,
            student=student_vectors(student, token_ids(base, split.held_out, max_tokens=base.max_tokens)),
            encoder=encoder.encode(split.held_out),
            spec=spec.completed_gates(),
        )
        has_plot = plot_training(folder / LOG, folder / PLOT)
        card = _card(encoder, teacher, base, verdict, origin, n_texts=len(split.learned))
        for name, content in ((VERDICT, json.dumps(verdict.as_dict(), indent=2) + "\n"), (README, card)):
            with atomic_write(candidate / name) as file:
                file.write(content.encode())
        write_sentence_transformers(candidate)
        in_force = verdict.passed or force
        if in_force:
            put_in_force(output)
    return Distilled(
        folder=output if in_force else candidate,
        in_force=in_force,
        verdict=verdict,
        space=space,
        energy=energy,
        n_texts=len(split.learned),
        n_held_out=len(split.held_out),
        has_plot=has_plot,
    )


def _as_strings(texts: Iterable[str] | Iterable[Document], base: Base) -> list[str]:
    """Return strings each once, and documents as passages of the base's window."""

    def token_spans(block: list[str]) -> list[list[tuple[int, int]]]:
        return [encoding.offsets for encoding in base.tokenizer.encode_batch(block, add_special_tokens=False)]

    def all_of(kind: type[T]) -> Iterator[T]:
        for text in chain(first, given):
            if not isinstance(text, kind):
                raise DistillError(f"texts: expected strings alone or documents alone, got a {type(text).__name__}")
            yield text

    if isinstance(texts, str):
        raise DistillError("texts: expected strings or documents, got one string; write [text]")
    given = iter(texts)
    first = list(islice(given, 1))
    if first and isinstance(first[0], str):
        return list(dict.fromkeys(all_of(str)))
    return read_texts(all_of(Document), token_spans, max_tokens=base.max_tokens).texts


def _require_fitting(
    teacher: Teacher, space: Space | None, assistant: Encoder | None, base: Base, split: Split, spec: DistillSpec
) -> None:
    """Check before hours of embedding what would fail after it."""
    dim = space.dim if space else (spec.projection or ProjectionSpec()).dim
    batch_size, n_texts = spec.completed_training().batch_size, len(split.learned)
    if space and space.teacher_hash != teacher.sha256:
        raise DistillError(
            f"space: expected one of teacher {teacher.name} ({teacher.sha256[:12]}), got one of {space.teacher} "
            f"({space.teacher_hash[:12]}); take that teacher, or leave --space out for a new space"
        )
    if teacher.dim < dim:
        raise DistillError(
            f"dim: expected at most {teacher.dim} (the teacher's width), got {dim}; give a smaller --dim"
        )
    if space is None and len(split.fitted) < dim:
        raise DistillError(
            f"texts: expected at least {dim} (dim) to fit the space on, got {len(split.fitted)}; give more texts or a "
            "smaller --dim"
        )
    if base.hidden < dim:
        raise DistillError(
            f"dim: expected at most {base.hidden} (width of student {base.name}), got {dim}; give a smaller --dim, or "
            "another student"
        )
    if spec.layers is not None:
        keep_layers(base, spec.layers)
    if spec.trim_vocabulary:
        trim_vocabulary(base.tokenizer, base.tensors[WORDS], ())
    loss = spec.completed_training().loss
    if not loss.place + loss.similarity + loss.ranking:
        raise DistillError("loss: expected a weight above 0 for --place, --similarity or --ranking, got 0 for all")
    if n_texts < batch_size:
        raise DistillError(
            f"texts: expected at least {batch_size} (a batch) to learn from, got {n_texts}; give more texts or a "
            "smaller --batch-size"
        )
    if split.by_assistant and not assistant:
        raise DistillError(
            f"teacher_texts: {len(split.by_assistant)} texts are left over and there is no assistant to embed them; "
            "name one with --assistant, or let the teacher embed all"
        )
    if assistant and (space is None or assistant.space != space.id):
        raise DistillError(
            f"assistant: expected an encoder of the space that is trained into, got {assistant.name} of "
            f"{assistant.space}; give its space with --space"
        )


def _settings(
    teacher: Teacher,
    base: Base,
    split: Split,
    space: Space | None,
    assistant: Encoder | None,
    spec: DistillSpec,
) -> dict[str, Any]:
    """Return all that decides the result, for people to read and for a resumed training to compare."""
    digest = hashlib.sha256(base.tokenizer.to_str().encode())
    for name in sorted(base.tensors):
        digest.update(base.tensors[name].tobytes())
    for texts in (split.held_out, split.by_teacher, split.by_assistant):
        digest.update(len(texts).to_bytes(8, "little"))
        for text in texts:
            digest.update(json.dumps(text).encode())
    completed: dict[str, Any] = asdict(replace(spec, training=spec.completed_training()))
    # From the end of one training the student is finished, stored or judged in another way.
    for name in ("gates", "precision", "untrained_share", "restored"):
        del completed[name]
    return {
        "teacher": {"name": teacher.name, "hash": teacher.sha256},
        "student": base.name,
        "space": space.id if space else None,
        "assistant": {"name": assistant.name, "hash": assistant.sha256} if assistant else None,
        "n_texts": len(split.learned),
        "spec": completed,
        "sha256": digest.hexdigest(),
    }


def _card(encoder: Encoder, teacher: Teacher, base: Base, verdict: Verdict, origin: Origin, *, n_texts: int) -> str:
    found = {name: round(100 * estimate.mean, 1) for name, estimate in verdict.agreements.items()}
    measured = f"per cent of the teacher's {verdict.k} nearest of {verdict.n_texts:,} held-out texts"
    return model_card(
        CardFields(
            name=encoder.name,
            license=origin.license,
            teacher=teacher.name,
            student=base.name,
            licenses={teacher.name: NOT_STATED, base.name: NOT_STATED, **origin.licenses},
            space=encoder.space,
            dim=encoder.dim,
            max_tokens=encoder.max_tokens,
            sources=origin.sources or [TextSource("texts", n_texts, NOT_STATED)],
            numbers={measured: found, "mean cosine to the teacher in the space": round(verdict.cosine, 3)},
            command=origin.command,
        )
    )
