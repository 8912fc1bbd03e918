"""The long run of tests/faults: thousands of kills, every failing call, many damages, minutes of readers.

    python scripts/fault_soak.py --kills 2000 --seed 1

Progress goes to stderr, a JSON summary to stdout or --output. A state that should not be ends the run with a traceback.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "helpers"), str(TESTS / "faults")]

import damage  # noqa: E402  beside the tests
import killing  # noqa: E402
import reading  # noqa: E402
import states  # noqa: E402
import supervised  # noqa: E402
from processes import MEMORY, Processes, fork_server  # noqa: E402
from tiny_encoder import make_tiny_static  # noqa: E402

from hpdsearch.encoder import Encoder  # noqa: E402


class Soak:
    """The parts of the run; each returns what it counted."""

    def __init__(self, options: argparse.Namespace, place: Path, processes: Processes) -> None:
        self.options, self.place, self.processes = options, place, processes
        self.encoder_folder = make_tiny_static(place / "encoder")
        self.encoder = Encoder.load(self.encoder_folder)

    def kills(self) -> Any:
        """Kill writers at random moments."""
        folder, n = self.place / "killed", self.options.kills
        states.perform(0, folder, self.encoder)
        return killing.kill_at_random(
            folder,
            self.processes,
            self.encoder,
            self.encoder_folder,
            n,
            self.options.seed,
            lambda turn: tell(f"kill {turn} of {n}"),
        )

    def moments(self) -> Any:
        """Kill a writer at each change of the disk, of each operation."""
        counted: dict[str, Counter[str]] = {}
        for name in supervised.OPERATIONS:
            case = supervised.Case(name, self.place / "moments", self.encoder)
            for at in supervised.moments(case, self.processes, self.encoder_folder, self.options.moments):
                is_done = supervised.killed_at(case, self.processes, self.encoder_folder, at)
                counted.setdefault(name, Counter())["new state" if is_done else "old state"] += 1
                self.processes.stop_all()
                tell(f"{name}: killed at call {at}")
        return counted

    def failures(self) -> Any:
        """Let each change of the disk fail, in each way."""
        counted: dict[str, Counter[str]] = {}
        for name in supervised.OPERATIONS:
            case = supervised.Case(name, self.place / "failures", self.encoder)
            calls = supervised.moments(case, self.processes, self.encoder_folder, self.options.moments)
            writer = supervised.Writer(self.processes, self.encoder_folder)
            for at in calls:
                for error, lasting in supervised.FAULTS:
                    fault = supervised.Fault(at, error, lasting=lasting)
                    outcome, message = supervised.failed_at(case, writer, fault)
                    what = message.partition(" (")[0].rpartition(": ")[2]  # without its place
                    counted.setdefault(name, Counter())[what or outcome] += 1
                tell(f"{name}: call {at} failed")
        return counted

    def damages(self) -> Any:
        """Damage the files of each kind of index."""
        counted = {}
        for what in damage.KINDS:
            place = self.place / what
            made = damage.make(what, place / "made", self.encoder)
            problems, outcomes = damage.damage_each(
                made, place, self.processes, self.encoder_folder, self.options.damages, self.options.seed
            )
            assert not problems, "\n".join(problems)
            counted[what] = {f"{ending}: {outcome}": n for (ending, outcome), n in sorted(outcomes.items())}
            tell(f"{what}: {sum(outcomes.values())} damages")
        return counted

    def processes_reading(self) -> Any:
        """Read in processes for minutes; return how many states each saw."""
        folder = self.place / "read by processes"
        states.perform(0, folder, self.encoder)
        seconds = self.options.minutes * 60
        return reading.read_in_processes(folder, self.processes, self.encoder, self.encoder_folder, seconds)

    def threads_reading(self) -> Any:
        """Read in threads for minutes; return how many answers were given, and changes made."""
        folder = self.place / "read by threads"
        states.perform(0, folder, self.encoder)
        return reading.read_in_threads(folder, self.encoder, self.options.minutes * 60)


PARTS = ("kills", "moments", "failures", "damages", "processes_reading", "threads_reading")


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=2000, help="writers killed at random moments")
    parser.add_argument("--moments", type=int, default=10_000, help="calls tried of each operation, at most")
    parser.add_argument("--damages", type=int, default=2000, help="damages for each kind of index")
    parser.add_argument("--minutes", type=float, default=3, help="of readers in processes, and again in threads")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts of the run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where the indexes lie; default: in memory where there is a place for it")
    parser.add_argument("--output", type=Path, help="file for the summary")
    options = parser.parse_args()
    states.set_limits()
    summary: dict[str, Any] = {"seed": options.seed}
    place = options.folder or MEMORY
    with tempfile.TemporaryDirectory(dir=place) as folder, Processes(fork_server()) as processes:
        soak = Soak(options, Path(folder), processes)
        for part in options.only:
            start = time.perf_counter()
            counted = getattr(soak, part)()
            processes.stop_all()
            summary[part] = {"seconds": round(time.perf_counter() - start, 1), "counted": counted}
            tell(f"{part}: {summary[part]['seconds']} s\n")
    text = json.dumps(summary, indent=2)
    print(text) if options.output is None else options.output.write_text(text + "\n")


def tell(what: str) -> None:
    """Show progress."""
    print(f"\r{what:60}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
