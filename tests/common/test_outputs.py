"""open_output: what may be replaced, what is written through, what is refused, and what stays after an error."""

import errno
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpdsearch.common.outputs import STDOUT, find_descriptor, is_stdout, open_output
from hpdsearch.errors import OutputError

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other kinds of files")


def write(path: Path, data: bytes = b"new", **options: object) -> None:
    with open_output(path, **options) as file:
        file.write(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def snapshot(folder: Path) -> dict[str, object]:
    """Return each entry of a folder: its kind and its contents."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        is_file = stat.S_ISREG(status.st_mode)
        found[str(path)] = (status.st_mode, path.read_bytes() if is_file else status.st_ino)
    return found


def test_a_new_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with open_output(tmp_path / "a") as file:
        file.write(b"new")
        file.flush()
        assert not (tmp_path / "a").exists()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_nothing_written_makes_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    write(tmp_path / "a", b"", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b""


@posix_only
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@posix_only
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o755])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(mode)
    with open_output(tmp_path / "a", overwrite=True) as file:
        file.write(b"new")
        (partial,) = tmp_path.glob(".*.partial")
        assert stat.S_IMODE(partial.stat().st_mode) == mode  # a private file is private while it is written, too
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_a_file_that_root_replaces_keeps_its_owner(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    os.chown(tmp_path / "a", 12345, 23456)
    write(tmp_path / "a", overwrite=True)
    status = (tmp_path / "a").stat()
    assert (status.st_uid, status.st_gid) == (12345, 23456)


def test_a_file_that_exists_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"a: exists already; name another file, or replace it with --overwrite$"):
        write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    write(tmp_path / "a", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def write_while_another_process_writes() -> None:
        with open_output(tmp_path / "a") as file:
            file.write(b"new")
            (tmp_path / "a").write_bytes(b"of another")

    with pytest.raises(OutputError, match="another process made this file meanwhile"):
        write_while_another_process_writes()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"of another"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, OSError, BrokenPipeError])
def test_an_error_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException], overwrite: bool
) -> None:
    if overwrite:
        (tmp_path / "a").write_bytes(b"old")
    before = snapshot(tmp_path)
    with pytest.raises(error), open_output(tmp_path / "a", overwrite=overwrite) as file:  # noqa: PT012
        file.write(b"ne" * 100_000)
        raise error
    assert snapshot(tmp_path) == before


@posix_only
@pytest.mark.parametrize("chain", [1, 3])
def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path: Path, chain: int) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "target").write_bytes(b"old")
    (tmp_path / "link0").symlink_to("elsewhere/target")
    for number in range(1, chain):
        (tmp_path / f"link{number}").symlink_to(f"link{number - 1}")
    link = tmp_path / f"link{chain - 1}"
    with pytest.raises(OutputError, match="exists already"):
        write(link)
    write(link, overwrite=True)
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "target").read_bytes() == b"new"
    assert names(tmp_path / "elsewhere") == ["target"]


@posix_only
def test_a_dangling_link_makes_its_target(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/target")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "target").read_bytes() == b"new"


@posix_only
def test_a_fifo_passes_the_bytes_to_its_reader_and_stays(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    with open_output(fifo) as file:
        assert not file.seekable()
        file.write(b"a" * 200_000)
    reader.join()
    assert received == [b"a" * 200_000]
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert names(tmp_path) == ["fifo"]


@posix_only
def test_a_reader_that_leaves_is_an_error_that_names_the_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: fifo.open("rb").close())
    reader.start()
    with pytest.raises(BrokenPipeError) as caught, open_output(fifo) as file:  # noqa: PT012
        reader.join()
        file.write(b"a" * 200_000)
    assert caught.value.filename == str(fifo)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Return a copy of the null device: a faulty function would replace the copy, and never the device itself."""
    path = tmp_path / "null"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.open("wb").close()
    except (AttributeError, OSError) as error:
        pytest.skip(f"no device can be made: {error}")
    return path


def test_a_device_is_written_through_and_stays(device: Path) -> None:
    with open_output(device) as file, open_output(device) as second:  # two outputs may be discarded
        file.write(b"new")
        second.write(b"new")
    assert stat.S_ISCHR(device.lstat().st_mode)
    assert names(device.parent) == ["null"]


@posix_only
def test_a_full_device_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    if not (tmp_path / "full").is_char_device():
        pytest.skip("no /dev/full")
    with pytest.raises((OSError, OutputError), match=r"full.*No space left|No space left.*full"):
        write(tmp_path / "full")
    assert (tmp_path / "full").is_symlink()
    assert Path("/dev/full").is_char_device()


@posix_only
@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd", "link"])
@pytest.mark.parametrize("append", [False, True])
def test_a_descriptor_is_written_from_its_place_on(tmp_path: Path, folder: str, append: bool) -> None:
    if folder == "link":
        (tmp_path / "link").symlink_to("/dev/fd")
    elif not Path(folder).is_dir():
        pytest.skip(f"no {folder}")
    path = tmp_path / "a"
    path.write_bytes(b"before ")
    with path.open("ab" if append else "r+b") as behind:
        behind.seek(0, os.SEEK_END)
        write(tmp_path / folder / str(behind.fileno()))
        assert os.fstat(behind.fileno()).st_size == len(b"before new")
    assert path.read_bytes() == b"before new"


@posix_only
def test_descriptors_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with path.open("rb") as reading:
        descriptor = reading.fileno()
        with pytest.raises(OutputError, match=f"/dev/fd/{descriptor}: cannot be written: Bad file descriptor"):
            write(Path(f"/dev/fd/{descriptor}"))
    with pytest.raises(OutputError, match=f"/dev/fd/{descriptor}: "):
        write(Path(f"/dev/fd/{descriptor}"))
    for name in ("99999999999999999999", "\u0663", "x"):
        with pytest.raises((OutputError, OSError)):
            write(Path("/dev/fd") / name)


@posix_only
def test_standard_output_has_several_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    for path in (STDOUT, Path("/dev/stdout"), Path("/dev/fd/1"), tmp_path / "link"):
        assert is_stdout(path), path
    for path in (Path("/dev/stderr"), Path("./-x"), tmp_path / "-", Path("/dev/fd/11"), Path("1")):
        assert not is_stdout(path), path
    assert find_descriptor(Path("/dev/stderr")) == 2


SCRIPT = """
import sys
from pathlib import Path
from hpdsearch.common.outputs import open_output
from hpdsearch.errors import OutputError
try:
    with open_output(Path(sys.argv[1]), overwrite=True) as file:
        file.write(b"new")
except OutputError as error:
    sys.exit(str(error))
"""


def run_script(path: str, folder: Path, redirection: str = "") -> subprocess.CompletedProcess[bytes]:
    """Write to a path in a process of its own, with redirected streams."""
    line = f'"{sys.executable}" script.py {path} {redirection}'
    (folder / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, check=False)


@posix_only
@pytest.mark.parametrize("path", ["-", "/dev/stdout", ">(cat)"])
def test_pipes_of_the_shell_are_written_through(tmp_path: Path, path: str) -> None:
    assert run_script(path, tmp_path, "| cat").stdout == b"new"
    if not path.startswith(">"):
        (tmp_path / "a").write_bytes(b"before ")
        assert run_script(path, tmp_path, ">> a").returncode == 0
        assert (tmp_path / "a").read_bytes() == b"before new"


@posix_only
@pytest.mark.parametrize(
    ("redirection", "stream"), [("< a", "standard input"), (">> a", "standard output"), ("2>> a", "standard error")]
)
def test_the_file_of_a_standard_stream_is_refused(tmp_path: Path, redirection: str, stream: str) -> None:
    (tmp_path / "a").write_bytes(b"old")
    done = run_script("a", tmp_path, redirection)
    assert done.returncode == 1
    shown = done.stderr + (tmp_path / "a").read_bytes()
    assert f"a: is {stream} too".encode() in shown
    assert (tmp_path / "a").read_bytes().startswith(b"old")


@pytest.fixture
def refused(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """Return paths of every kind that is refused, and the errors."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    found = {
        "folder": (tmp_path / "folder", "expected a file to write, found a folder"),
        "dot": (Path(), "expected a file to write, found a folder"),
        "missing folder": (tmp_path / "no" / "a", f"the folder {tmp_path / 'no'} does not exist; make it first"),
        "below a file": (tmp_path / "file" / "a", "cannot be written: Not a directory"),
        "long name": (tmp_path / ("x" * 300), "cannot be written: File name too long"),
    }
    if sys.platform != "win32":
        (tmp_path / "to folder").symlink_to("folder")
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "to nowhere").symlink_to("no/a")
        with socket.socket(socket.AF_UNIX) as made:
            here = Path.cwd()
            os.chdir(tmp_path)  # the path of a socket is at most 108 bytes long
            made.bind("socket")
            os.chdir(here)
        found |= {
            "link to a folder": (tmp_path / "to folder", "found a folder"),
            "loop": (tmp_path / "loop", "cannot be written: Too many levels of symbolic links"),
            "link into a missing folder": (tmp_path / "to nowhere", "does not exist; make it first"),
            "socket": (tmp_path / "socket", "found a socket"),
        }
    return found


@posix_only
def test_every_path_that_cannot_be_written_is_refused_before_the_work(
    refused: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    before = snapshot(tmp_path)
    for path, error in refused.values():
        for overwrite in (False, True):
            with (
                pytest.raises(OutputError, match=f"^{re.escape(str(path))}: .*{re.escape(error)}"),
                open_output(path, overwrite=overwrite),
            ):
                pytest.fail("the work began")
    assert snapshot(tmp_path) == before


def test_a_block_device_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "block"
    try:
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 250))
    except (AttributeError, OSError) as error:
        pytest.skip(f"no device can be made: {error}")
    with pytest.raises(OutputError, match="found a block device"):
        write(path, overwrite=True)


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(OutputError, match=f"the folder {re.escape(str(tmp_path))} cannot be written"):
        write(tmp_path / "a")


@pytest.mark.parametrize("name", ["x" * 255, "x" * 250 + ".npy", "Möwe", "a b", "-a", "\u202e"])
def test_every_name_that_the_system_allows_can_be_written(tmp_path: Path, name: str) -> None:
    try:
        (tmp_path / name).write_bytes(b"")
    except OSError as error:
        pytest.skip(f"the system does not allow the name: {error}")
    write(tmp_path / name, overwrite=True)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("way", ["same name", "another name", "link", "hard link"])
def test_an_input_is_never_replaced(tmp_path: Path, way: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"old")
    path = {"same name": source, "another name": tmp_path / ".." / tmp_path.name / "source"}.get(way, tmp_path / "a")
    if way == "link":
        path.symlink_to(source)
    elif way == "hard link":
        path.hardlink_to(source)
    with pytest.raises(OutputError, match="is read by this command"):
        write(path, overwrite=True, inputs=[tmp_path / "gone", source])
    assert source.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["catalog", "new", "deep/new"])
def test_nothing_is_written_into_a_folder_that_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "index" / "deep").mkdir(parents=True)
    (tmp_path / "index" / "catalog").write_bytes(b"old")
    (tmp_path / "link").symlink_to("index", target_is_directory=True)
    for path in (tmp_path / "index" / name, tmp_path / "link" / name):
        for folder in ("index", "link"):
            with pytest.raises(OutputError, match=f"is in the folder .*{folder}, which this command reads"):
                write(path, overwrite=True, inputs=[tmp_path / folder])
    write(tmp_path / "index-2", inputs=[tmp_path / "index"])


def test_two_outputs_have_two_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for second in (tmp_path / "a", tmp_path / "folder" / ".." / "a"):
        with open_output(tmp_path / "a", overwrite=True) as file:
            file.write(b"first")
            with pytest.raises(OutputError, match="is the file of another output too"):
                write(second, overwrite=True)
        assert (tmp_path / "a").read_bytes() == b"first"
    write(tmp_path / "a", overwrite=True)


def test_two_writers_at_once_leave_one_complete_file(tmp_path: Path) -> None:
    """Two processes have no common list of outputs; a thread that empties the list stands for the second process."""
    from hpdsearch.common import outputs

    with open_output(tmp_path / "a", overwrite=True) as first:
        first.write(b"first" * 10_000)
        outputs._open_outputs.clear()
        write(tmp_path / "a", b"second", overwrite=True)
        assert (tmp_path / "a").read_bytes() == b"second"
        outputs._open_outputs.add(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"first" * 10_000
    assert names(tmp_path) == ["a"]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    (tmp_path / "a").write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            write(tmp_path / "a", b"x" * 100_000, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "a"))
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
