"""Which space a student is trained into: one that is named, or the one that its base already leads into."""

from pathlib import Path

from hpdsearch.common.files import file_sha256
from hpdsearch.distillation.student.base import Base
from hpdsearch.encoder import Space, read_space
from hpdsearch.encoder.folder import BUILT_IN
from hpdsearch.encoder.space import CARD
from hpdsearch.errors import DistillError

SPACE = "space"  # sub-folder of an encoder that was made here
BUILT_IN_SPACES = BUILT_IN / "spaces"


def find_space(name_or_folder: str | Path) -> Space:
    """Open a space.

    Args:
        name_or_folder: a built-in space, a space folder, or an encoder folder with one in it.

    Raises:
        DistillError: there is none.
        EncoderError: it is damaged or of another format.
    """
    name = name_or_folder
    for folder in (BUILT_IN_SPACES / name, BUILT_IN / name / SPACE, Path(name), Path(name) / SPACE):
        if (folder / CARD).is_file():
            return read_space(folder)
    known = ", ".join(sorted(path.parent.name for path in BUILT_IN_SPACES.glob(f"*/{CARD}")))
    raise DistillError(
        f"space {name_or_folder}: expected a space folder, an encoder folder with one, or the name of a built-in space "
        f"({known or 'none is installed'}), found none"
    )


def space_of_encoder(student: str | Path, base: Base, *, teacher_hash: str) -> Space | None:
    """Return the space that a base leads into, if its folder is known and it is a space of this teacher.

    Args:
        student: where the base was found.
        base: it.
        teacher_hash: of the teacher.
    """
    for folder in (Path(student) / SPACE, BUILT_IN / student / SPACE, *sorted(BUILT_IN_SPACES.glob("*"))):
        # The id is looked at first: spaces of other formats may lie there too.
        if (folder / CARD).is_file() and f"sha256:{file_sha256(folder / CARD)}" == base.space:
            space = read_space(folder)
            return space if space.teacher_hash == teacher_hash else None
    return None
