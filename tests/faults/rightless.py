"""Run command lines in a process that may not write to a folder: read-only modes, another user, mount, full disk.

As a script, this file takes a job of `run_rightless` in JSON. Root gives up the capabilities by which it reads and
writes the files of others, instead of its name: other users may not be able to read Python's modules.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner

MODES, USER, MOUNT, DISK = "read-only modes", "another user", "read-only mount", "full disk"
PLACES = (MODES, USER, MOUNT, DISK)
_USER = 65_534  # nobody

Result = list[Any]  # exit code, stdout, stderr
Line = tuple[str, str]  # arguments with {home} and {out} for paths, standard input
OPEN = "Index.open"  # stands for the library instead of a command line


def missing_right(place: str) -> str:
    """Return what the system lacks to make a place; an empty text: nothing."""
    if not hasattr(os, "geteuid"):
        return "needs POSIX permissions"
    if place == USER and not _can_give_away():
        return "only root may give files to another user"
    if place in (MOUNT, DISK):
        can_mount = _works(*_launcher(place), "mount", "-t", "tmpfs", "none", "/tmp")
        return "" if can_mount else "needs unshare and the right to mount"
    return "" if not _launcher(place) or _works(*_launcher(place), "true") else "needs setpriv"


def run_rightless(work: Path, place: str, lines: Sequence[Line], *, free_kib: int = 0) -> dict[str, Any]:
    """Run command lines on a copy of the folder work/original, in a process without the right or room to write there.

    Args:
        work: a folder; `original` in it holds the folder `index`.
        place: one of PLACES.
        lines: the command lines; {home} is the copy, {out} a new path with the right and room to write.
        free_kib: room on the full disk.

    Returns:
        writable: the results with the right to write, on another copy.
        results: the results without.
        changes: names of files in the copy that were made, changed or removed meanwhile.
    """
    job = json.dumps([str(work), place, lines, free_kib])
    command = [*_launcher(place), sys.executable, __file__, job]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    _prepare(work, place)
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def _can_give_away() -> bool:
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.chown(file.name, _USER, _USER)
        except PermissionError:
            return False
    return True


@cache
def _works(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


def _launcher(place: str) -> list[str]:
    """Return the beginning of a command line whose process may mount, or may not do what root may."""
    is_root = os.geteuid() == 0
    if place in (MOUNT, DISK):
        return ["unshare", "--mount", *([] if is_root else ["--map-root-user"])]  # the mounts end with the process
    return ["setpriv", "--bounding-set=-all"] if is_root else []


def _perform(work: Path, place: str, lines: Sequence[Line], free_kib: int) -> dict[str, Any]:
    home = work / "rightless"
    if place in (MOUNT, DISK):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", home], check=True)
        shutil.copytree(work / "original", home, dirs_exist_ok=True)
    if place == MOUNT:
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
    if place == DISK:
        _fill_disk(home, free_kib)
    writable = [_run(line, work / "writable", work / "out" / "writable") for line in lines]
    before = _describe_files(home)
    results = [_run(line, home, work / "out" / "rightless") for line in lines]
    after = _describe_files(home)
    changes = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return {"writable": writable, "results": results, "changes": changes}


def _prepare(work: Path, place: str) -> None:
    """Make the folders `writable` and `rightless` of a place, both with a copy of `original` unless it is mounted."""
    shutil.copytree(work / "original", work / "writable")
    home = work / "rightless"
    home.mkdir()
    (work / "out").mkdir()
    if place in (MODES, USER):
        shutil.copytree(work / "original", home, dirs_exist_ok=True)
    for path in [*home.rglob("*"), home]:
        if place == MODES:
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555)
        if place == USER:
            os.chown(path, _USER, _USER)


def _fill_disk(home: Path, free_kib: int) -> None:
    """Leave so much room on the disk of a folder."""
    filler = home / "filler"
    free = os.statvfs(home)
    filler.write_bytes(bytes(free.f_bavail * free.f_frsize - 1024 * free_kib))


def _run(line: Line, home: Path, out: Path) -> Result:
    from hpdsearch.cli import main

    arguments, typed = line
    if arguments == OPEN:
        return _open(home / "index")
    args = [part.format(home=home, out=out) for part in arguments.split()]
    result = CliRunner().invoke(main, args, input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return [result.exit_code, result.stdout, result.stderr]


def _open(folder: Path) -> Result:
    """Read an index through the library."""
    from hpdsearch.index import Index

    with Index.open(folder) as index:
        hits = index.search("moon", 3)
        return [len(index.verify()), repr((len(index), hits, index.info().n_passages)), ""]


def _describe_files(home: Path) -> dict[str, Any]:
    """Return mode, time and contents of each file and folder by its name."""
    described = {}
    for path in home.rglob("*"):
        status = path.stat()
        contents = path.read_bytes() if path.is_file() and path.name != "filler" else b""
        described[str(path.relative_to(home))] = (status.st_mode, status.st_mtime_ns, contents)
    return described


if __name__ == "__main__":
    work, *rest = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(_perform(Path(work), *rest)))
