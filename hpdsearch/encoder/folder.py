"""The encoder folder: find it, read encoder.json, verify every file, write it.

docs/encoder-format.md describes the format.
"""

import json
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hpdsearch.common.files import atomic_write, file_sha256, parse_json
from hpdsearch.errors import EncoderError

FORMAT = 3  # the newest; an encoder is written in the first format that has all it needs
CARD = "encoder.json"
MODEL = "model.onnx"
INT8_MODEL = "model.int8.onnx"  # may be missing: encoders with float32 weights and those of earlier versions have none
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
QUERY_ADAPTER = "query_adapter.safetensors"  # optional; format 3
ADOPTED = "encoders"  # where `hpdsearch adopt` writes encoders if no folder is named
BUILT_IN = Path(__file__).parent.parent / "encoders"  # the encoders that ship with the package


class EncoderType(Enum):
    """The architecture of an encoder: `model_type` in config.json."""

    BERT = "bert"
    STATIC = "static"
    ONNX = "onnx"  # any other Transformer, as a graph that torch exported

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that an encoder of this type must have."""
        return (WEIGHTS, CONFIG, TOKENIZER) if self is EncoderType.STATIC else (MODEL, WEIGHTS, CONFIG, TOKENIZER)


@dataclass(frozen=True)
class EncoderCard:
    """The contents of encoder.json.

    Attributes:
        name: shown to users.
        dim: width of the vectors.
        max_tokens: length of a passage, and of a Transformer's window, in tokens; special tokens not counted.
        space: id of the space of the vectors, "sha256:...".
        sha256: sha256 in hexadecimal of every other file of the encoder, by file name.
        format: version of the layout of the folder.
        query_prompt: set before every query; format 2.
        document_prompt: set before every passage; format 2.
    """

    name: str
    dim: int
    max_tokens: int
    space: str
    sha256: Mapping[str, str]
    format: int = FORMAT
    query_prompt: str = ""
    document_prompt: str = ""


def built_in_names() -> list[str]:
    """Return the names of the encoders that ship with the package, sorted."""
    return sorted(path.parent.name for path in BUILT_IN.glob(f"*/{CARD}"))


def find_folder(name_or_folder: str | Path) -> Path:
    """Return the folder of a built-in encoder, by its name, or of any other encoder, by its path.

    A built-in name takes precedence over a folder of that name in the working directory; write ./name for the folder.

    Raises:
        EncoderError: the argument is neither a built-in name nor a folder.
    """
    if isinstance(name_or_folder, str) and name_or_folder in built_in_names():
        return BUILT_IN / name_or_folder
    folder = Path(name_or_folder)
    if not folder.is_dir():
        name = str(name_or_folder)
        is_model_name = name.count("/") == 1 and not name.startswith(("/", ".", "~"))
        advice = f"; if it is a model of the Hugging Face hub, {_advise_to_adopt(name)}" if is_model_name else ""
        raise EncoderError(
            f"{name_or_folder}: expected an encoder folder or the name of a built-in encoder "
            f"({', '.join(built_in_names()) or 'none is installed'}), found neither{advice}"
        )
    return folder


def _advise_to_adopt(model: str) -> str:
    """Return the command that makes an encoder of a model."""
    folder = f"{ADOPTED}/{Path(model).name}"
    return f"make an encoder of it: hpdsearch adopt {shlex.quote(model)}, then --encoder {shlex.quote(folder)}"


def write_encoder(
    folder: Path,
    contents: Mapping[str, bytes],
    *,
    name: str,
    dim: int,
    max_tokens: int,
    space: str,
    query_prompt: str = "",
    document_prompt: str = "",
    needs_format_2: bool = False,
) -> Path:
    """Write an encoder folder and return its path; encoder.json is written last and makes the folder valid.

    Args:
        folder: created if it does not exist; files of an encoder in it are replaced.
        contents: the bytes of the encoder's other files, by file name.
        name: see EncoderCard.
        dim: see EncoderCard.
        max_tokens: see EncoderCard.
        space: see EncoderCard.
        query_prompt: see EncoderCard.
        document_prompt: see EncoderCard.
        needs_format_2: whether readers of format 1 would compute other vectors, even without a prompt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    for file_name, content in contents.items():
        with atomic_write(folder / file_name) as file:
            file.write(content)
    checksums = {file_name: file_sha256(folder / file_name) for file_name in sorted(contents)}
    prompts = {"query_prompt": query_prompt, "document_prompt": document_prompt}
    is_format_2 = needs_format_2 or any(prompts.values())
    fields: dict[str, Any] = {
        "format": 2 if is_format_2 else 1,
        "name": name,
        "dim": dim,
        "max_tokens": max_tokens,
        "space": space,
    }
    fields |= {**(prompts if is_format_2 else {}), "sha256": checksums}
    _write_card(folder, fields)
    return folder


def add_file(folder: Path, file_name: str, content: bytes, *, output: Path | None = None) -> None:
    """Add a file of format 3 to an encoder folder, or to a copy of it. encoder.json is written last.

    Args:
        folder: an encoder folder.
        file_name: of the file, which may be there already.
        content: of the file.
        output: a new or empty folder for the copy, which is named after it; None changes the encoder itself.

    Raises:
        EncoderError: the folder holds no encoder.
    """
    card = read_card(folder)
    fields = {key: getattr(card, key) for key in _FIELDS[FORMAT] if key != "sha256"}
    if output is None:
        output = folder
        (output / CARD).unlink()
    else:
        shutil.copytree(folder, output, ignore=shutil.ignore_patterns(CARD, "training"), dirs_exist_ok=True)
        fields["name"] = output.resolve().name
    with atomic_write(output / file_name) as file:
        file.write(content)
    checksums = {**card.sha256, file_name: file_sha256(output / file_name)}
    _write_card(output, {"format": FORMAT, **fields, "sha256": dict(sorted(checksums.items()))})


def _write_card(folder: Path, fields: Mapping[str, Any]) -> None:
    with atomic_write(folder / CARD) as file:
        file.write((json.dumps(fields, indent=2) + "\n").encode())


def read_card(folder: Path) -> EncoderCard:
    """Read encoder.json.

    Raises:
        EncoderError: the file is missing, is not JSON, has another format or lacks a field.
    """
    path = folder / CARD
    if not path.is_file():
        is_model = any((folder / name).is_file() for name in ("modules.json", CONFIG))
        advice = f"it is a model of another library, {_advise_to_adopt(str(folder))}" if is_model else "check the path"
        raise EncoderError(f"{folder}: expected an encoder folder, but there is no {CARD} in it; {advice}")
    try:
        fields = parse_json(path.read_bytes())
    except ValueError as error:
        raise EncoderError(f"{path}: expected JSON, got {error}; copy or make the folder again") from None
    found = fields.get("format") if isinstance(fields, dict) else None
    if found not in _FIELDS:
        advice = "upgrade hpdsearch" if isinstance(found, int) and found > FORMAT else "make the folder again"
        raise EncoderError(f"{path}: expected format 1 to {FORMAT}, got {found!r}; {advice}")
    for key, kind in _FIELDS[found].items():
        if not isinstance(fields.get(key), kind):
            raise EncoderError(
                f"{path}: expected {key!r} to be {kind.__name__}, got {fields.get(key)!r}; make the folder again"
            )
    return EncoderCard(format=found, **{key: fields[key] for key in _FIELDS[found]})


_FIRST_FIELDS: dict[str, type[Any]] = {"name": str, "dim": int, "max_tokens": int, "space": str, "sha256": dict}
_SECOND_FIELDS = _FIRST_FIELDS | {"query_prompt": str, "document_prompt": str}
_FIELDS = {1: _FIRST_FIELDS, 2: _SECOND_FIELDS, 3: _SECOND_FIELDS}


def read_encoder_type(folder: Path) -> EncoderType:
    """Read the type of an encoder from config.json.

    Raises:
        EncoderError: the file is missing or altered, or the type is unknown to this version.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise EncoderError(f"{path}: the file is missing; copy or make the encoder folder again")
    try:
        found = parse_json(path.read_bytes())["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{path}: the file was altered or truncated ({error!r}); make the folder again") from None
    try:
        return EncoderType(found)
    except ValueError:
        expected = ", ".join(kind.value for kind in EncoderType)
        raise EncoderError(f"{path}: expected model_type among {expected}, got {found!r}; upgrade hpdsearch") from None


def verify_files(folder: Path, card: EncoderCard) -> EncoderType:
    """Verify the checksum of every file that the card names, and return the type of the encoder.

    Raises:
        EncoderError: a file is missing or altered, or the card lacks the checksum of a necessary file.
    """
    kind = read_encoder_type(folder)
    for name in kind.files:
        if name not in card.sha256:
            raise EncoderError(
                f"{folder / CARD}: expected the checksum of {name} under 'sha256', got none; make the folder again"
            )
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
