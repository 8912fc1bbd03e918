"""Tell how long this process waited for a core, so that measurements that other programs disturbed can be left out."""

from contextlib import suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
WAITED = 1  # column of schedstat: nanoseconds on a run queue (Linux, Documentation/scheduler/sched-stats)


def waited_milliseconds() -> float:
    """Return the milliseconds that the threads of this process have waited for a core; 0 where it is unknown."""
    nanoseconds = 0
    with suppress(FileNotFoundError):  # not Linux
        for task in TASKS.iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
                nanoseconds += int((task / "schedstat").read_text().split()[WAITED])
    return nanoseconds / 1e6
