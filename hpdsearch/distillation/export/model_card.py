"""The README.md of an encoder folder: where it comes from, what it was measured at, how to use it.

Its head is the YAML that the Hugging Face hub reads.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TAGS = ("sentence-transformers", "sentence-similarity", "feature-extraction", "hpdsearch")


@dataclass(frozen=True)
class TextSource:
    """Some of the texts that an encoder was trained on: their name, how many, and their licence as an SPDX name."""

    name: str
    n_texts: int
    license: str


@dataclass(frozen=True)
class CardFields:
    """What a model card tells.

    Attributes:
        name: the encoder's name.
        license: of the encoder, as an SPDX name.
        teacher: name of the teacher, as the hub has it; a folder on somebody's disk is named by its last part.
        student: name of the Transformer that training began from; "" if it began from none.
        licenses: licence of the teacher, the student and whatever else went in, by name.
        space: id of the space of the vectors.
        dim: width of the vectors.
        max_tokens: tokens that are read at once.
        sources: texts that it was trained on.
        numbers: what was measured; a mapping in it is a group of rows.
        languages: of the texts, as two letters.
        command: made it; "" if there is none.
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
    numbers: Mapping[str, Any] = field(default_factory=dict)
    languages: Sequence[str] = ("en",)
    command: str = ""


def model_card(fields: CardFields) -> str:
    """Return the card in Markdown; equal fields give equal text."""
    origin = f"distilled from {fields.teacher}" + (f", starting from {fields.student}" if fields.student else "")
    parts = [
        _front_matter(fields),
        f"# {fields.name}",
        f"Texts to {fields.dim} numbers: {origin} (Homomorphic Projective Distillation, arXiv:2203.07687). The first "
        "numbers matter most: cut to fewer and scaled to length 1, a vector is still a good one.",
        _table(
            ("", ""),
            [
                ("teacher", fields.teacher),
                ("student began from", fields.student or "nothing: a table of token vectors"),
                ("space", f"`{fields.space}`"),
                ("width", str(fields.dim)),
                ("tokens read at once", str(fields.max_tokens)),
            ],
        ),
        "## Use",
        "```python\nfrom hpdsearch import Encoder\n\n"
        f'vectors = Encoder.load("{fields.name}").encode(["any text"])\n```',
        "`Encoder.load` takes the path of this folder too, and so does `hpdsearch index --encoder`. After "
        f"`hpdsearch export {fields.name} FOLDER`, or where this folder holds a `modules.json`, sentence-transformers "
        f"opens it to the same vectors (a text of more than {fields.max_tokens} tokens it cuts off):",
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        'vectors = SentenceTransformer("FOLDER").encode(["any text"])\n```',
        "## Training texts",
        _table(
            ("source", "texts", "licence"),
            [(source.name, f"{source.n_texts:,}", source.license) for source in fields.sources]
            + [("together", f"{sum(source.n_texts for source in fields.sources):,}", "")],
        ),
    ]
    if fields.command:
        parts += ["Made by:", f"```sh\n{fields.command}\n```"]
    if fields.numbers:
        parts += ["## Measured", _table(("", ""), list(_rows(fields.numbers)))]
    licenses = {fields.name: fields.license, **fields.licenses}
    parts += ["## Licences", _table(("what", "licence"), list(licenses.items()))]
    return "\n\n".join(parts) + "\n"


def _front_matter(fields: CardFields) -> str:
    """Return the YAML head. A JSON string or list is YAML too, so nothing needs escaping of our own."""
    values = {
        "license": fields.license.lower(),
        "language": list(fields.languages),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "base_model": [name for name in dict.fromkeys((fields.student, fields.teacher)) if name],
        "tags": list(TAGS),
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def _rows(numbers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and value of each number; those of a mapping inside are named `group, name`."""
    for key, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{prefix}{key}, ")
        else:
            yield f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
