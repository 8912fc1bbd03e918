"""The encoder folder: where it is found, what encoder.json says, and whether every file is what was written.

docs/encoder-folder.md describes the format.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpdsearch.errors import EncoderError
from hpdsearch.files import published, sha256_of

FORMAT = 1
CARD = "encoder.json"
MODEL = "model.onnx"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
BUILT_IN = Path(__file__).parent.parent / "encoders"


@dataclass(frozen=True)
class EncoderCard:
    """What encoder.json says.

    Attributes:
        name: shown to users.
        dim: width of the vectors.
        max_tokens: tokens of text (special tokens not counted) that the model takes at once.
        space: id of the space that the vectors lie in, "sha256:...".
        sha256: hexadecimal sum of every other file of the folder, by file name.
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


def write_card(folder: Path, card: EncoderCard) -> None:
    """Write encoder.json, which brings the folder into force; call it last."""
    with published(folder / CARD) as file:
        file.write((json.dumps({"format": card.format} | asdict(card), indent=2) + "\n").encode())


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


def verify_files(folder: Path, card: EncoderCard) -> None:
    """Check that every file named by the card is there and unaltered.

    Raises:
        EncoderError: names the file and both sums.
    """
    for name in (MODEL, WEIGHTS, CONFIG, TOKENIZER):
        if name not in card.sha256:
            raise EncoderError(f"{folder / CARD}: expected a sum of {name} under 'sha256', got none")
    for name, expected in card.sha256.items():
        path = folder / name
        if not path.is_file():
            raise EncoderError(f"{path}: the file is missing; copy or make the encoder folder again")
        if (found := sha256_of(path)) != expected:
            raise EncoderError(
                f"{path}: the file was altered or truncated (expected sha256 {expected}, got {found}); "
                "copy or make the encoder folder again"
            )
