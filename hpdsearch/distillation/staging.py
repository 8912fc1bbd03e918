"""The folder of an encoder while it is made: the new one comes into force only once it has been judged.

my-encoder/
  training/settings.json   what is trained, and on what
  training/space/          that was fitted, unless one was given
  training/anchor.bin      the assistant's vectors, or the untrained student's
  training/checkpoint.bin  where it stands
  training/log.csv         and loss.svg
  training/candidate/      the encoder as exported, until it is moved up
  training/write.lock      held while one process trains here

Space, anchor, checkpoint and candidate are gone once the encoder is in force.
"""

import errno
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hpdsearch.common.files import atomic_write
from hpdsearch.distillation.export.sentence_transformers import MODULES
from hpdsearch.distillation.space.lookup import SPACE
from hpdsearch.distillation.training.trainer import CHECKPOINT
from hpdsearch.encoder.folder import CARD, built_in_names, read_card
from hpdsearch.errors import DistillError, EncoderError

TRAINING, CANDIDATE, SETTINGS, LOCK = "training", "candidate", "settings.json", "write.lock"
ANCHOR = "anchor.bin"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
KEPT = (CHECKPOINT, ANCHOR, SPACE)  # of a training under way

logger = logging.getLogger(__name__)


def require_free(output: Path, *, overwrite: bool, used: tuple[str | Path | None, ...]) -> None:
    """Check that an encoder may be made in a folder.

    Args:
        output: new, empty, begun by an earlier call, or an encoder's.
        overwrite: whether an encoder in it may be replaced.
        used: what the new encoder is made from.

    Raises:
        DistillError: it may not.
    """
    names = built_in_names()  # a string may be one of them, a Path is a folder
    folders = [Path(path) for path in used if path is not None and not (isinstance(path, str) and path in names)]
    if any(folder.resolve() == output.resolve() for folder in folders):
        raise DistillError(f"{output}: the new encoder is made from the one in this folder; choose another folder")
    if (output / CARD).is_file():
        if not overwrite:
            raise DistillError(f"{output}: there is an encoder already; choose another folder, or give --overwrite")
        return
    if output.exists() and not output.is_dir():
        raise DistillError(f"{output}: expected a folder, found a file; choose another place")
    begun = (output / TRAINING / SETTINGS).is_file()
    if output.is_dir() and not begun and {path.name for path in output.iterdir()} - {TRAINING}:
        raise DistillError(f"{output}: expected a folder that is new or empty, found other files; choose another")


def begin_training(output: Path, settings: dict[str, Any]) -> Path:
    """Return the folder of a training; what one with other settings left there is removed.

    Args:
        output: of the encoder.
        settings: all that decides the result, as JSON; what is kept in the folder follows from them.
    """
    folder = output / TRAINING
    content = (json.dumps(settings, indent=2, default=lambda value: value.value) + "\n").encode()
    path = folder / SETTINGS
    if not path.is_file() or path.read_bytes() != content:
        if (folder / CHECKPOINT).is_file():
            logger.warning("%s: of a training with other settings or texts; training begins anew", folder / CHECKPOINT)
        _remove_kept(folder)
        with atomic_write(path) as file:
            file.write(content)
    return folder


def begin_candidate(output: Path) -> Path:
    """Return an empty folder for the encoder that is to be judged."""
    candidate = output / TRAINING / CANDIDATE
    shutil.rmtree(candidate, ignore_errors=True)
    candidate.mkdir(parents=True)
    return candidate


def put_in_force(output: Path) -> None:
    """Move the candidate up, encoder.json last, and remove what the training has kept, the checkpoint first.

    Killed before that, the same call makes the same candidate again from the checkpoint's end.
    """
    candidate = output / TRAINING / CANDIDATE
    old = _files_of_encoder(output)
    (output / CARD).unlink(missing_ok=True)
    for name in old:
        _remove(output / name)
    for path in sorted(candidate.iterdir(), key=lambda path: path.name == CARD):
        _remove(output / path.name)
        path.replace(output / path.name)
    candidate.rmdir()
    _remove_kept(output / TRAINING)


def _remove_kept(folder: Path) -> None:
    for name in KEPT:
        _remove(folder / name)


def _files_of_encoder(folder: Path) -> set[str]:
    """Return the names of what an encoder and its sentence-transformers modules are made of; none if there is none."""
    try:
        modules = json.loads((folder / MODULES).read_bytes()) if (folder / MODULES).is_file() else []
        names = {*read_card(folder).sha256, *(module["path"] for module in modules)}
    except (EncoderError, ValueError, KeyError, TypeError):  # altered by somebody: what stays does no harm
        return set()
    return {name for name in names if Path(name).name == name} - {"", "..", TRAINING}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def room(output: Path) -> Iterator[None]:
    """Be the only one who makes an encoder in a folder, and say what a full disk or another failure means here.

    Raises:
        DistillError: another process is at it, or something could not be written.
    """
    try:
        (output / TRAINING).mkdir(parents=True, exist_ok=True)
        with FileLock(output / TRAINING / LOCK, timeout=0):
            yield
    except Timeout:
        raise DistillError(
            f"{output}: another process is making an encoder here; wait for its end, or choose another folder"
        ) from None
    except OSError as error:
        where, why = error.filename or output, error.strerror or error
        remedy = "make room" if error.errno in FULL else "see to it"
        raise DistillError(
            f"{where}: cannot be read or written ({why}); {remedy} and run the command again: it goes on where it was"
        ) from error
