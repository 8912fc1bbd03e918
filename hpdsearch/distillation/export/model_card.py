"""The model card of an encoder folder: its README.md, with the metadata of the Hugging Face hub.

The text is in the template model_card.md beside this file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpdsearch.encoder import Encoder

TEMPLATE = Path(__file__).with_name("model_card.md")
ADOPTED_TEMPLATE = Path(__file__).with_name("adopted_card.md")
TAGS = ("sentence-transformers", "sentence-similarity", "feature-extraction", "hpdsearch")
UNKNOWN_LICENSE = "not stated"


@dataclass(frozen=True)
class TextSource:
    """A source of training texts: its name, its number of texts, and its license as an SPDX name."""

    name: str
    n_texts: int
    license: str


@dataclass(frozen=True)
class Provenance:
    """The part of a model card that only the caller of a distillation knows.

    Attributes:
        sources: of the texts; if empty, the card shows only the number of texts.
        license: of the encoder, as an SPDX name, or "other".
        licenses: of the teacher, the student and other components, by name.
        command: the command line that made the encoder.
    """

    sources: Sequence[TextSource] = ()
    license: str = "other"
    licenses: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class CardFields:
    """The content of a model card.

    Attributes:
        name: of the encoder.
        license: of the encoder, as an SPDX name.
        teacher: its name on the hub, or the last part of its folder; of several teachers, with their weights.
        student: name of the initial model; "" for none.
        licenses: of the teacher, the student and other components, by name.
        space: id of the space of the vectors.
        dim: width of the vectors.
        max_tokens: tokens of text in a window.
        sources: of the training texts.
        results: measurements by name, formatted.
        languages: of the texts, as two-letter codes.
        command: the command line that made the encoder; "" for none.
        teachers: names of several teachers without their weights; empty for `teacher` alone.
        query_adapter: what the query adapter was fitted to; "" for none.
    """

    name: str
    license: str
    teacher: str
    student: str
    licenses: Mapping[str, str]
    space: str
    dim: int
    max_tokens: int
    sources: Sequence[TextSource]
    results: Mapping[str, str] = field(default_factory=dict)
    languages: Sequence[str] = ("en",)
    command: str = ""
    teachers: Sequence[str] = ()
    query_adapter: str = ""


def read_license(folder: Path) -> str:
    """Return the license that a folder's model card states, or UNKNOWN_LICENSE."""
    from huggingface_hub import ModelCard

    path = folder / "README.md"
    if not path.is_file():
        return UNKNOWN_LICENSE
    try:
        card_data = ModelCard.load(path, ignore_metadata_errors=True).data
    except Exception:  # a card is prose of others; its YAML head can be broken in many ways
        return UNKNOWN_LICENSE
    name = card_data.get("license_name") if card_data.license == "other" else card_data.license
    return str(name) if name else UNKNOWN_LICENSE


def render_model_card(fields: CardFields) -> str:
    """Render the model card as Markdown with a YAML head. Equal fields give equal text."""
    from huggingface_hub import ModelCard, ModelCardData

    card_data = ModelCardData(
        license=fields.license.lower(),
        language=list(fields.languages),
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        base_model=[name for name in dict.fromkeys((fields.student, *(fields.teachers or [fields.teacher]))) if name],
        tags=list(TAGS),
    )
    card = ModelCard.from_template(
        card_data,
        template_path=str(TEMPLATE),
        fields=fields,
        licenses={fields.name: fields.license, **fields.licenses},
        n_texts=sum(source.n_texts for source in fields.sources),
    )
    return str(card).rstrip("\n") + "\n"


def render_adopted_card(encoder: "Encoder", *, model: str, license: str, results: Mapping[str, str]) -> str:
    """Render the model card of an encoder that was made of a model without training.

    Args:
        encoder: the encoder.
        model: name of the model.
        license: of the model, as its card states it; the encoder has the same.
        results: measurements by name, formatted.
    """
    from huggingface_hub import ModelCard, ModelCardData

    card_data = ModelCardData(
        license="other" if license == UNKNOWN_LICENSE else license.lower(),
        library_name="hpdsearch",
        pipeline_tag="sentence-similarity",
        base_model=[model],
        tags=[tag for tag in TAGS if tag != "sentence-transformers"],
    )
    card = ModelCard.from_template(
        card_data, template_path=str(ADOPTED_TEMPLATE), encoder=encoder, model=model, license=license, results=results
    )
    return str(card).rstrip("\n") + "\n"
