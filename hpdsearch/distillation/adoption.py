"""The adoption of an embedding model: it becomes an encoder folder without training.

model -> space (its own, projected, or a given one) -> export -> comparison with the model -> encoder folder
"""

import gzip
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpdsearch.common.files import atomic_write
from hpdsearch.common.progress import SILENT, Progress
from hpdsearch.corpus.passages import MIN_MAX_TOKENS
from hpdsearch.distillation.comparison import Comparison, compare, require_agreement
from hpdsearch.distillation.data.texts import read_texts
from hpdsearch.distillation.export.model_card import render_adopted_card
from hpdsearch.distillation.export.relatives import read_body
from hpdsearch.distillation.export.traced import WindowEncoder, export_traced
from hpdsearch.distillation.export.transformer import export_encoder
from hpdsearch.distillation.pipeline import QUALITY, README
from hpdsearch.distillation.space.lookup import SPACE, load_space
from hpdsearch.distillation.space.projection import fit_projection
from hpdsearch.distillation.spec import AdoptSpec, ProjectionSpec
from hpdsearch.distillation.staging import (
    LOCK,
    SETTINGS,
    TRAINING,
    check_output,
    create_staging,
    exclusive_lock,
    promote,
)
from hpdsearch.distillation.teacher.prompts import Prompts, find_family
from hpdsearch.distillation.teacher.teacher import Teacher, embed, open_cache
from hpdsearch.encoder import Backend, Device, Encoder, Space, write_space
from hpdsearch.encoder.folder import ADOPTED, CARD, read_card
from hpdsearch.encoder.tokens import TextTokenizer
from hpdsearch.errors import DistillError
from hpdsearch.records import Document

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SAMPLE = Path(__file__).with_name("data") / "sample.txt.gz"  # definitions of WordNet
SAMPLE_NAME = "definitions of WordNet"
CHECKED_SHARE = 5  # at most one text in so many is compared if a space is fitted to the others
N_QUERIES = 200  # texts that are compared as queries too, if the prompts differ
BLOCK = 2048  # embeddings in memory at once


@dataclass(frozen=True)
class Adopted:
    """The result of an adoption.

    Attributes:
        folder: of the encoder.
        encoder: the encoder, loaded with the backend onnx.
        model: name of the model.
        architecture: its model_type.
        pooling: of its token vectors.
        space: of the encoder.
        explained_energy: share of the model's summed squares that a new projection explains, 0..1; None for others.
        is_matryoshka: whether the space is the first dimensions of the model's own.
        is_given_space: whether the space was there before.
        comparison: with the model.
        texts: what they were compared on.
    """

    folder: Path
    encoder: Encoder
    model: str
    architecture: str
    pooling: str
    space: Space
    explained_energy: float | None
    is_matryoshka: bool
    is_given_space: bool
    comparison: Comparison
    texts: str

    @property
    def size_bytes(self) -> int:
        """The size of the encoder's files."""
        return sum((self.folder / name).stat().st_size for name in read_card(self.folder).sha256)


def adopt(
    model: str | Path,
    output: str | Path | None = None,
    *,
    texts: Iterable[str] | Iterable[Document] | None = None,
    spec: AdoptSpec | None = None,
    space: str | Path | None = None,
    cache: Path | None = None,
    overwrite: bool = False,
    device: str | Device = Device.AUTO,
    progress: Progress = SILENT,
) -> Adopted:
    """Make an encoder of an embedding model, without training, and compare it with the model.

    Args:
        model: folder of a sentence-transformers or transformers model, or its name on the Hugging Face hub.
        output: the encoder folder; None for encoders/NAME, with the width behind the name if it is not the model's.
        texts: strings or documents; a new space is fitted to them, and the encoder is compared on others of them. None
            for a sample of English texts, which suffices to compare.
        spec: settings; None for the defaults.
        space: a space of this model to map into: a built-in space or encoder, a space folder, or an encoder folder.
            None for the model's own vectors or, with `spec.dim`, a new projection.
        cache: folder of the model's embeddings; None for the user's cache folder.
        overwrite: replace an encoder in `output`.
        device: runs the model while it is compared: "cpu", "cuda" (a GPU), or "auto".
        progress: of the stages.

    Raises:
        EncoderError: the model or the space cannot be opened, or there is no such device.
        DistillError: the encoder differs too much from the model; the space is of another model; `output` contains
            something; or the settings do not fit.
        ShapeError: `spec.dim` does not fit the model, or there are too few texts.
        MissingExtraError: a package that the export needs is not installed.
    """
    spec = spec or AdoptSpec()
    if (Path(model) / CARD).is_file():
        raise DistillError(f"{model}: is an encoder already; use it with --encoder {model}")
    if output is not None:
        _check_output(Path(output), model, overwrite=overwrite)
    given = load_space(space) if space is not None else None
    if given is not None and (spec.dim is not None or spec.matryoshka):
        raise DistillError("space: expected either a space or the width of a new one (--dim), got both")
    import torch

    prompts = Prompts(spec.query_prompt, spec.document_prompt)
    teacher = Teacher.load(model, device=device, dtype=torch.float32, prompts=prompts)
    if output is None:
        width = given.dim if given is not None else spec.dim
        output = Path(ADOPTED, teacher.name if width in (None, teacher.dim) else f"{teacher.name}-{width}")
        _check_output(output, model, overwrite=overwrite)
    return adopt_from(teacher, Path(output), texts=texts, spec=spec, space=given, cache=cache, progress=progress)


def adopt_from(
    teacher: Teacher,
    output: Path,
    *,
    texts: Iterable[str] | Iterable[Document] | None,
    spec: AdoptSpec,
    space: Space | None,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> Adopted:
    """Make an encoder of a model that is loaded already; see `adopt`."""
    if space is not None and space.teacher_hash != teacher.sha256:
        raise DistillError(
            f"space: expected one of {teacher.name} ({teacher.sha256[:12]}), got one of {space.teacher} "
            f"({space.teacher_hash[:12]}); adopt that model, or omit --space"
        )
    is_matryoshka = _check_width(teacher, spec, has_texts=texts is not None)
    is_fitted = space is None and spec.dim not in (None, teacher.dim) and not is_matryoshka
    max_tokens, n_prompt = _find_window(teacher, spec)
    documents = _to_documents(_read_sample() if texts is None else texts)
    spans = TextTokenizer.wrap(teacher.tokenizer).spans
    passages = read_texts(documents, spans, max_tokens=max_tokens).texts
    checked, fitted = _draw_texts(passages, spec, is_fitted=is_fitted)
    originals = teacher.encode(checked, progress=progress)
    queries = checked[:N_QUERIES] if teacher.for_queries() is not teacher else []
    of_queries = teacher.for_queries().encode(queries)
    components = np.eye(spec.dim or teacher.dim, teacher.dim, dtype=np.float32)
    explained_energy = None
    if is_fitted:
        assert spec.dim is not None
        stored = open_cache(teacher, cache)
        embed(teacher, fitted, stored, progress=progress)
        blocks = (stored.embeddings(fitted[first : first + BLOCK]) for first in range(0, len(fitted), BLOCK))
        projection = fit_projection(blocks, ProjectionSpec(dim=spec.dim))
        components = projection.components
        explained_energy = float(projection.explained_energy[-1])
    elif space is not None:
        components = space.components
    is_new = not output.exists()
    try:
        with exclusive_lock(output):
            staging = create_staging(output)
            try:
                made = write_space(
                    staging / SPACE,
                    teacher=teacher.name if space is None else space.teacher,
                    teacher_hash=teacher.sha256,
                    components=components,
                )
                name = output.resolve().name
                _export(staging, teacher, made, spec, name=name, max_tokens=max_tokens, n_prompt=n_prompt)
                comparison = compare(staging, made, checked, originals, queries, of_queries, k=spec.k)
                require_agreement(comparison, spec, model=teacher.name, architecture=_read_architecture(teacher))
                _write_reports(staging, teacher, comparison)
                promote(output)
                shutil.rmtree(output / TRAINING, ignore_errors=True)  # with the log of an encoder that was replaced
            finally:
                shutil.rmtree(staging, ignore_errors=True)
                if {path.name for path in (output / TRAINING).glob("*")} <= {LOCK}:
                    shutil.rmtree(output / TRAINING, ignore_errors=True)
    except BaseException:
        if is_new:
            shutil.rmtree(output, ignore_errors=True)
        raise
    return Adopted(
        folder=output,
        encoder=Encoder.load(output, backend=Backend.ONNX),
        model=teacher.name,
        architecture=_read_architecture(teacher),
        pooling=" and ".join(mode.value for mode in teacher.parts.pooling),
        space=made,
        explained_energy=explained_energy,
        is_matryoshka=is_matryoshka,
        is_given_space=space is not None,
        comparison=comparison,
        texts=SAMPLE_NAME if texts is None else "texts",
    )


def _check_output(output: Path, model: str | Path, *, overwrite: bool) -> None:
    """Check that the encoder may be written to a folder, which must not hold a training that has begun."""
    check_output(output, overwrite=overwrite, used=(model,))
    if (output / TRAINING / SETTINGS).is_file() and not (output / CARD).is_file():
        raise DistillError(f"{output}: hpdsearch distill has begun in this folder; choose another folder")


def _check_width(teacher: Teacher, spec: AdoptSpec, *, has_texts: bool) -> bool:
    """Check the wanted width; return whether it is made of the model's first dimensions."""
    if spec.dim is None:
        if spec.matryoshka:
            raise DistillError("matryoshka: expected a width to truncate to, got none; give --dim")
        return False
    if spec.dim > teacher.dim:
        raise DistillError(f"dim: expected at most {teacher.dim} (the width of {teacher.name}), got {spec.dim}")
    family = find_family(teacher.name, _read_architecture(teacher))
    is_trained_so = family is not None and family.is_matryoshka
    if spec.matryoshka or (is_trained_so and not has_texts):
        return spec.dim < teacher.dim
    if spec.dim < teacher.dim and not has_texts:
        raise DistillError(
            f"dim: expected texts to find the {spec.dim} leading directions of {teacher.name} in, got none; name them "
            "with --texts CORPUS, or give --matryoshka if the model was trained for truncated vectors"
        )
    return False


def _find_window(teacher: Teacher, spec: AdoptSpec) -> tuple[int, int]:
    """Return the tokens of text in a window, and those of the longer prompt.

    Raises:
        DistillError: the prompts leave too little of the model's longest input, or are not pooled.
    """
    prompts = [teacher.parts.query_prompt, teacher.parts.prompt]
    if any(prompts) and not teacher.parts.pools_prompt:
        raise DistillError(
            f"{teacher.name}: leaves the prompt out of its pooling (include_prompt), which encoders cannot; adopt it "
            'without prompts (--query-prompt "" --document-prompt "")'
        )
    tokenizer = TextTokenizer.wrap(teacher.tokenizer)
    n_special = sum(map(len, tokenizer.special_tokens()))
    n_prompt = max(tokenizer.count_prompt(prompt) for prompt in prompts)
    max_tokens = min(spec.max_tokens, teacher.max_tokens - n_special - n_prompt)
    if max_tokens < MIN_MAX_TOKENS:
        raise DistillError(
            f"max_tokens: expected at least {MIN_MAX_TOKENS} tokens of text in a window, got {max_tokens}: "
            f"{teacher.name} reads {teacher.max_tokens}, of which prompt and special tokens take "
            f"{n_special + n_prompt}"
        )
    return max_tokens, n_prompt


def _read_sample() -> list[str]:
    return gzip.decompress(SAMPLE.read_bytes()).decode().splitlines()


def _to_documents(texts: Iterable[str | Document]) -> Iterator[Document]:
    """Yield documents; a longer text than a window must be split, since the model would truncate it."""
    if isinstance(texts, str):
        raise DistillError("texts: expected strings or documents, got one string; write [text]")
    for number, text in enumerate(texts):
        yield Document(str(number), text) if isinstance(text, str) else text


def _draw_texts(texts: Sequence[str], spec: AdoptSpec, *, is_fitted: bool) -> tuple[list[str], list[str]]:
    """Return texts to compare the encoder on, and others to fit a space to, both drawn at random."""
    order = np.random.default_rng(spec.seed).permutation(len(texts))
    n_checked = min(spec.n_checked, len(texts) // CHECKED_SHARE if is_fitted else len(texts))
    if n_checked < 2 * spec.k:
        raise DistillError(
            f"texts: expected at least {2 * spec.k * (CHECKED_SHARE if is_fitted else 1)} different passages to "
            f"compare the encoder with the model, got {len(texts)}; give more texts"
        )
    drawn = [texts[row] for row in order[: n_checked + spec.n_texts]]
    return drawn[:n_checked], drawn[n_checked:] if is_fitted else []


def _export(
    folder: Path, teacher: Teacher, space: Space, spec: AdoptSpec, *, name: str, max_tokens: int, n_prompt: int
) -> None:
    """Write the encoder folder, in the form of distilled encoders if they can represent the model."""
    prompts = {"query_prompt": teacher.parts.query_prompt, "document_prompt": teacher.parts.prompt}
    tokenizer = _prepare_tokenizer(teacher)
    n_before, n_after = map(len, TextTokenizer.wrap(tokenizer).special_tokens())
    body = read_body(teacher.model, teacher.parts)
    if body is not None and n_before == n_after == 1:
        body = body.project(space.components)
        export_encoder(
            folder,
            name=name,
            space=space.id,
            bert=body.tensors,
            head=body.head,
            n_heads=body.n_heads,
            tokenizer=tokenizer,
            max_tokens=max_tokens,
            layer_norm_eps=body.epsilon,
            precision=spec.precision,
            int8_graph=True,
            pooling=body.pooling,
            head_bias=body.head_bias,
            n_prompt=n_prompt,
            **prompts,
        )
        return
    export_traced(
        folder,
        WindowEncoder(teacher.model, teacher.parts, space.components),
        name=name,
        space=space.id,
        architecture=_read_architecture(teacher),
        tokenizer=tokenizer,
        pad_id=teacher.pad_id,
        max_tokens=max_tokens,
        longest=n_before + n_prompt + max_tokens + n_after,
        precision=spec.precision,
        **prompts,
    )


def _prepare_tokenizer(teacher: Teacher) -> "Tokenizer":
    """Return a copy of the tokenizer, which converts to lower case itself if the model wants it."""
    from tokenizers import Tokenizer, normalizers

    tokenizer = Tokenizer.from_str(teacher.tokenizer.to_str())
    if teacher.parts.lower_case:
        others = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *others])
    return tokenizer


def _read_architecture(teacher: Teacher) -> str:
    config: Any = teacher.model.config
    return str(config.model_type)


def _write_reports(folder: Path, teacher: Teacher, comparison: Comparison) -> None:
    card = render_adopted_card(
        Encoder.load(folder, backend=Backend.ONNX),
        model=teacher.name,
        license=teacher.license,
        results=comparison.describe(),
    )
    report = json.dumps(comparison.as_dict(), indent=2) + "\n"
    for name, content in ((QUALITY, report), (README, card)):
        with atomic_write(folder / name) as file:
            file.write(content.encode())
