"""Supervise the system calls by which a process changes files.

The kernel (seccomp user notification, Linux >= 5.6) reports every such call to a second process, whether Python, SQLite
or Tantivy makes it, and with or without the C library. The supervisor lets the call continue, makes it fail, or kills
the process.
"""

import ctypes
import fcntl
import os
import platform
import select
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The call's number on x86_64 and on aarch64 (-1: it does not exist), and the argument that names a file: "fd 0" (a
# descriptor), "path 1" (a path, relative to the folder descriptor in argument 0) or "cwd 0" (a path by itself).
CALLS = {
    "write": (1, 64, "fd 0"),
    "pwrite": (18, 68, "fd 0"),
    "writev": (20, 66, "fd 0"),
    "pwritev": (296, 70, "fd 0"),
    "pwritev2": (328, 287, "fd 0"),
    "fsync": (74, 82, "fd 0"),
    "fdatasync": (75, 83, "fd 0"),
    "ftruncate": (77, 46, "fd 0"),
    "fallocate": (285, 47, "fd 0"),
    "sendfile": (40, 71, "fd 0"),
    "copy_file_range": (326, 285, "fd 2"),
    "open": (2, -1, "cwd 0"),
    "openat": (257, 56, "path 1"),
    "rename": (82, -1, "cwd 0"),
    "renameat": (264, 38, "path 1"),
    "renameat2": (316, 276, "path 1"),
    "link": (86, -1, "cwd 1"),
    "linkat": (265, 37, "path 3"),
    "unlink": (87, -1, "cwd 0"),
    "unlinkat": (263, 35, "path 1"),
    "mkdir": (83, -1, "cwd 0"),
    "mkdirat": (258, 34, "path 1"),
    "rmdir": (84, -1, "cwd 0"),
}
_MACHINES = {"x86_64": (0, 317), "aarch64": (1, 277)}  # column of CALLS, number of seccomp itself
_COLUMN, _SECCOMP = _MACHINES.get(platform.machine(), (0, -1))
_NAMES = {numbers[_COLUMN]: name for name, numbers in CALLS.items() if numbers[_COLUMN] >= 0}
_NO_NEW_PRIVS, _SET_MODE_FILTER, _NEW_LISTENER = 38, 1, 8
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_NOTICE = struct.Struct("QIIiIQ6Q")

Decide = Callable[[str, Path], int]  # name of the call and the file -> 0: continue, else the errno it fails with


def start_supervision() -> int:
    """Put this thread, and those that it starts later, under supervision; return the supervisor's descriptor.

    Each call waits until the supervisor answers.

    Raises:
        OSError: the system does not allow it.
    """
    jumps = [(_EQUAL, len(_NAMES) - i, 0, number) for i, number in enumerate(_NAMES)]
    program = [(_LOAD, 0, 0, 0), *jumps, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _NOTIFY)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, head)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp with user notification is not available")
    return int(listener)


def can_supervise() -> bool:
    """Tell whether the system allows supervision. The attempt runs in a thread that ends, so it binds no other one."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return False
    with ThreadPoolExecutor(1) as thread:
        attempt = thread.submit(start_supervision)
        if attempt.exception() is None:
            os.close(attempt.result())
        return attempt.exception() is None


def supervise(listener: int, decide: Decide) -> None:
    """Answer the calls that change files by `decide`, until the process is dead.

    The process's background threads wait for answers too, so this must run for as long as the process lives.
    """
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while any(event & select.POLLIN for _, event in poll.poll()):
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, notice)
            number, thread, _, call, _, _, *args = _NOTICE.unpack(notice)
            path = _changed_file(_NAMES[call], thread, args)
            error = decide(_NAMES[call], path) if path is not None else 0
            fcntl.ioctl(listener, _SEND, bytearray(struct.pack("QqiI", number, 0, -error, 0 if error else _CONTINUE)))
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process was killed meanwhile


def _changed_file(name: str, thread: int, args: list[int]) -> Path | None:
    """Return the file that a call changes; None if it only opens one for reading."""
    kind, position = CALLS[name][2].split()
    at = int(position)
    if name in ("open", "openat") and not args[at + 1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        return None
    if kind == "fd":
        return Path(f"/proc/{thread}/fd/{args[at] & 0xFFFFFFFF}").readlink()
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:  # noqa: PTH123  a Path would be buffered
        path = Path(os.fsdecode(os.pread(memory.fileno(), 4096, args[at]).split(b"\0")[0]))
    if path.is_absolute() or kind == "cwd" or args[at - 1] & 0xFFFFFFFF == 0xFFFFFF9C:  # AT_FDCWD
        return path.absolute()
    return Path(f"/proc/{thread}/fd/{args[at - 1] & 0xFFFFFFFF}").readlink() / path
