"""The output folder during a distillation. A new encoder is promoted only after its quality report.

my-encoder/
  training/settings.json   settings, and a hash of the texts and the initial weights
  training/space/          the space, unless an existing one was given
  training/head.bin        the initial head of the student
  training/targets/        the targets, see stored_rows.py
  training/checkpoint.bin  the training
  training/log.csv         and loss.svg
  training/staging/        the exported encoder, until it is promoted
  training/write.lock      held by the process that trains here

Promotion removes space, head.bin, targets, checkpoint.bin and staging from training/.
"""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hpdsearch.common.files import atomic_write, parse_json
from hpdsearch.distillation.export.sentence_transformers import MODULES
from hpdsearch.distillation.space.lookup import SPACE
from hpdsearch.distillation.student.build import HEAD_FILE
from hpdsearch.distillation.training.trainer import CHECKPOINT
from hpdsearch.encoder.folder import CARD, built_in_names, read_card
from hpdsearch.errors import DistillError, EncoderError

TRAINING, STAGING, SETTINGS, LOCK = "training", "staging", "settings.json", "write.lock"
TARGETS = "targets"
RESUMABLE = (CHECKPOINT, HEAD_FILE, TARGETS, SPACE)  # in training/, removed when the training ends
REPORT_OF_0_1 = "verdict.json"  # the quality report of an encoder that hpdsearch 0.1 made
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

logger = logging.getLogger(__name__)


def check_output(output: Path, *, overwrite: bool, used: tuple[str | Path | None, ...]) -> None:
    """Check that an encoder may be made in a folder.

    Args:
        output: a new or empty folder, the folder of an interrupted call, or an encoder folder.
        overwrite: whether an encoder in it may be replaced.
        used: names or folders of the models that the new encoder is made from.

    Raises:
        DistillError: the folder has other content, its encoder may not be replaced, or it is one of `used`.
    """
    names = built_in_names()  # a string may be such a name, a Path is a folder
    folders = [Path(path) for path in used if path is not None and not (isinstance(path, str) and path in names)]
    if any(os.path.realpath(folder) == os.path.realpath(output) for folder in folders):
        raise DistillError(f"{output}: the new encoder is made from the one in this folder; choose another folder")
    if (output / CARD).is_file():
        if not overwrite:
            raise DistillError(f"{output}: there is an encoder already; choose another folder, or give --overwrite")
        return
    if output.exists() and not output.is_dir():
        raise DistillError(f"{output}: expected a folder, found a file; choose another folder")
    begun = (output / TRAINING / SETTINGS).is_file()
    if output.is_dir() and not begun and {path.name for path in output.iterdir()} - {TRAINING}:
        raise DistillError(f"{output}: expected a new or empty folder, found other files; choose another folder")


def prepare_run(output: Path, settings: dict[str, Any]) -> Path:
    """Create the training folder and remove the files of a training with other settings.

    Args:
        output: the encoder folder.
        settings: JSON values of everything that determines the result of the training.

    Returns:
        The training folder.
    """
    folder = output / TRAINING
    content = (json.dumps(settings, indent=2, default=lambda value: value.value) + "\n").encode()
    path = folder / SETTINGS
    if not path.is_file() or path.read_bytes() != content:
        if (folder / CHECKPOINT).is_file():
            logger.warning("%s: has other settings or texts; the training starts again", folder / CHECKPOINT)
        _remove_resumable(folder)
        with atomic_write(path) as file:
            file.write(content)
    return folder


def create_staging(output: Path) -> Path:
    """Create an empty folder for the exported encoder."""
    staging = output / TRAINING / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def promote(output: Path) -> None:
    """Move the staged encoder to the output folder, encoder.json last, and remove the files that resume the training.

    If the process is killed in between, the same command exports the same encoder from the last checkpoint again.
    """
    staging = output / TRAINING / STAGING
    _remove(output / TRAINING / TARGETS)  # it may be large, and a kill after the promotion would leave it for good
    old = _list_encoder_files(output)
    (output / CARD).unlink(missing_ok=True)
    for name in old:
        _remove(output / name)
    for path in sorted(staging.iterdir(), key=lambda path: path.name == CARD):
        _remove(output / path.name)
        path.replace(output / path.name)
    staging.rmdir()
    _remove_resumable(output / TRAINING)


@contextmanager
def exclusive_lock(output: Path) -> Iterator[None]:
    """Hold the lock of an output folder, and convert disk errors to errors that name the file and a remedy.

    Raises:
        DistillError: another process holds the lock, or a file cannot be read or written.
    """
    try:
        (output / TRAINING).mkdir(parents=True, exist_ok=True)
        with FileLock(output / TRAINING / LOCK, timeout=0):
            yield
    except Timeout:
        raise DistillError(
            f"{output}: another process is making an encoder here; wait until it ends, or choose another folder"
        ) from None
    except OSError as error:
        path = error.filename or output
        reason = error.strerror or error
        remedy = "free disk space" if error.errno in DISK_FULL else "fix this"
        raise DistillError(
            f"{path}: cannot be read or written ({reason}); {remedy} and run the command again: it continues where it "
            "stopped"
        ) from error


def _remove_resumable(folder: Path) -> None:
    for name in RESUMABLE:
        _remove(folder / name)


def _list_encoder_files(folder: Path) -> set[str]:
    """Return the names of the files and module folders of an encoder; none if the folder holds no intact encoder."""
    try:
        modules = parse_json((folder / MODULES).read_bytes()) if (folder / MODULES).is_file() else []
        names = {*read_card(folder).sha256, *(module["path"] for module in modules), REPORT_OF_0_1}
    except (EncoderError, ValueError, KeyError, TypeError):  # changed by somebody; the remaining files do no harm
        return set()
    return {name for name in names if Path(name).name == name} - {"", "..", TRAINING}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
