"""The encoder folder: where it is found, what encoder.json says, and whether every file is what was written.

docs/encoder-folder.md describes the format.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hpdsearch.common.files import file_sha256, published
from hpdsearch.errors import EncoderError

FORMAT = 1
CARD = "encoder.json"
MODEL = "model.onnx"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
BUILT_IN = Path(__file__).parent.parent / "encoders"


class EncoderType(Enum):
    """What config.json calls model_type."""

    BERT = "bert"
    STATIC = "static"

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that such an encoder cannot do without."""
        return (WEIGHTS, CONFIG, TOKENIZER) if self is EncoderType.STATIC else (MODEL, WEIGHTS, CONFIG, TOKENIZER)


@dataclass(frozen=True)
class EncoderCard:
    """What encoder.json says.

    Attributes:
        name: shown to users.
        dim: width of the vectors.
        max_tokens: tokens of text (special tokens not counted) that a Transformer takes at once, and of a passage.
        space: id of the space that the vectors lie in, "sha256:...".
        sha256: hexadecimal sum of every other file that the encoder is made of, by file name.
        format: layout of the folder.
    """

    name: str
    dim: int
    max_tokens: int
    space: str
    sha256: Mapping[str, str]
    format: int = FORMAT


def built_in_names() -> list[str]:
    """Return the names of the encoders that ship with the package, sorted."""
    return sorted(path.parent.name for path in BUILT_IN.glob(f"*/{CARD}"))


def find_folder(name_or_folder: str | Path) -> Path:
    """Return the folder of a built-in encoder (by name) or of the user's own (by path).

    A built-in name wins over a folder of that name in the working directory; write ./name for the latter.

    Raises:
        EncoderError: there is neither.
    """
    if isinstance(name_or_folder, str) and name_or_folder in built_in_names():
        return BUILT_IN / name_or_folder
    folder = Path(name_or_folder)
    if not folder.is_dir():
        raise EncoderError(
            f"{name_or_folder}: expected an encoder folder or the name of a built-in encoder "
            f"({', '.join(built_in_names()) or 'none is installed'}), found neither"
        )
    return folder


def write_encoder(
    folder: Path, contents: Mapping[str, bytes], *, name: str, dim: int, max_tokens: int, space: str
) -> Path:
    """Write an encoder folder, encoder.json last, which brings it into force; return the folder.

    Args:
        folder: made if it is not there; files of an encoder in it are replaced.
        contents: the files that the encoder is made of, by file name.
        name: see EncoderCard.
        dim: see EncoderCard.
        max_tokens: see EncoderCard.
        space: see EncoderCard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    for file_name, content in contents.items():
        with published(folder / file_name) as file:
            file.write(content)
    sums = {file_name: file_sha256(folder / file_name) for file_name in sorted(contents)}
    card = EncoderCard(name=name, dim=dim, max_tokens=max_tokens, space=space, sha256=sums)
    with published(folder / CARD) as file:
        file.write((json.dumps({"format": card.format} | asdict(card), indent=2) + "\n").encode())
    return folder


def read_card(folder: Path) -> EncoderCard:
    """Read encoder.json.

    Raises:
        EncoderError: it is missing, not JSON, of another format or lacks a field.
    """
    path = folder / CARD
    if not path.is_file():
        raise EncoderError(f"{folder}: expected an encoder folder, but there is no {CARD} in it")
    try:
        fields = json.loads(path.read_bytes())
    except ValueError as error:
        raise EncoderError(f"{path}: expected JSON, got {error}; copy or make the folder again") from None
    found = fields.get("format") if isinstance(fields, dict) else None
    if found != FORMAT:
        advice = "upgrade hpdsearch" if isinstance(found, int) and found > FORMAT else "make the folder again"
        raise EncoderError(f"{path}: expected format {FORMAT}, got {found!r}; {advice}")
    for key, kind in _FIELDS.items():
        if not isinstance(fields.get(key), kind):
            raise EncoderError(f"{path}: expected {key!r} to be {kind.__name__}, got {fields.get(key)!r}")
    return EncoderCard(**{key: fields[key] for key in _FIELDS})


_FIELDS: dict[str, type[Any]] = {"name": str, "dim": int, "max_tokens": int, "space": str, "sha256": dict}


def read_kind(folder: Path) -> EncoderType:
    """Read from config.json which kind of encoder it is.

    Raises:
        EncoderError: the file is missing or altered, or of a kind that is not known here.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise EncoderError(f"{path}: the file is missing; copy or make the encoder folder again")
    try:
        found = json.loads(path.read_bytes())["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{path}: the file was altered or truncated ({error!r}); make the folder again") from None
    try:
        return EncoderType(found)
    except ValueError:
        expected = " or ".join(kind.value for kind in EncoderType)
        raise EncoderError(f"{path}: expected model_type {expected}, got {found!r}; upgrade hpdsearch") from None


def verify_files(folder: Path, card: EncoderCard) -> EncoderType:
    """Check that every file named by the card is there and unaltered; return the kind of encoder.

    Raises:
        EncoderError: names the file and both sums.
    """
    kind = read_kind(folder)
    for name in kind.files:
        if name not in card.sha256:
            raise EncoderError(f"{folder / CARD}: expected a sum of {name} under 'sha256', got none")
    for name, expected in card.sha256.items():
        path = folder / name
        if not path.is_file():
            raise EncoderError(f"{path}: the file is missing; copy or make the encoder folder again")
        if (found := file_sha256(path)) != expected:
            raise EncoderError(
                f"{path}: the file was altered or truncated (expected sha256 {expected}, got {found}); "
                "copy or make the encoder folder again"
            )
    return kind
