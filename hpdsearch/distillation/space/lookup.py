"""Existing spaces: a space by name or folder, and the space that an encoder maps into."""

from pathlib import Path

from hpdsearch.common.files import file_sha256
from hpdsearch.distillation.student.initial_model import InitialModel
from hpdsearch.encoder import Space, read_space
from hpdsearch.encoder.folder import BUILT_IN, read_card
from hpdsearch.encoder.folder import CARD as ENCODER_CARD
from hpdsearch.encoder.space import CARD
from hpdsearch.errors import DistillError

SPACE = "space"  # sub-folder of an encoder folder
BUILTIN_SPACES = BUILT_IN / "spaces"


def load_space(name_or_folder: str | Path) -> Space:
    """Load a space.

    Args:
        name_or_folder: a built-in space, a space folder, a built-in encoder, or an encoder folder that contains its
            space or is of a built-in one.

    Raises:
        DistillError: there is no such space.
        EncoderError: the space is corrupt or has another format.
    """
    name = name_or_folder
    for folder in (BUILTIN_SPACES / name, BUILT_IN / name / SPACE, Path(name), Path(name) / SPACE):
        if (folder / CARD).is_file():
            return read_space(folder)
    for folder in (BUILT_IN / name, Path(name)):
        if (folder / ENCODER_CARD).is_file() and (space := _find_built_in_space(read_card(folder).space)):
            return read_space(space)
    known = ", ".join(sorted(path.parent.name for path in BUILTIN_SPACES.glob(f"*/{CARD}")))
    raise DistillError(
        f"space {name_or_folder}: expected a space folder, an encoder folder with one, or the name of a built-in space "
        f"({known or 'none is installed'}), found none"
    )


def space_of_encoder(student: str | Path, init_model: InitialModel, *, teacher_hash: str) -> Space | None:
    """Return the space that an encoder maps into; None if its folder is unknown or it belongs to another teacher.

    Args:
        student: name or folder of the encoder.
        init_model: the encoder.
        teacher_hash: sha256 of the teacher.
    """
    for folder in (Path(student) / SPACE, BUILT_IN / student / SPACE, *sorted(BUILTIN_SPACES.glob("*"))):
        if _has_id(folder, init_model.space):
            space = read_space(folder)
            return space if space.teacher_hash == teacher_hash else None
    return None


def _find_built_in_space(space_id: str) -> Path | None:
    return next((folder for folder in sorted(BUILTIN_SPACES.glob("*")) if _has_id(folder, space_id)), None)


def _has_id(folder: Path, space_id: str | None) -> bool:
    """Return whether a folder holds the space of that id. A space of another format cannot be read."""
    return (folder / CARD).is_file() and f"sha256:{file_sha256(folder / CARD)}" == space_id
