"""Run the fault tests for hours: thousands of kills, every failing call, many damages, minutes of readers.

    python scripts/fault_soak.py --kills 2000 --seed 1

Progress goes to stderr, and a JSON summary to stdout or --output. A wrong state ends the run with a traceback.
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

import damage  # noqa: E402  in tests/faults
import killing  # noqa: E402
import reading  # noqa: E402
import refining  # noqa: E402
import states  # noqa: E402
import supervised  # noqa: E402
from processes import MEMORY_FOLDER, Processes, start_fork_server  # noqa: E402
from tiny_encoder import make_tiny_static  # noqa: E402

from hpdsearch.encoder import Encoder  # noqa: E402


class Soak:
    """The parts of the run; each returns its counts.

    Attributes:
        options: the options of the command line.
        work_folder: holds the indexes.
        processes: starts the processes.
    """

    def __init__(self, options: argparse.Namespace, work_folder: Path, processes: Processes) -> None:
        self.options = options
        self.work_folder = work_folder
        self.processes = processes
        self.encoder_folder = make_tiny_static(work_folder / "encoder")
        self.encoder = Encoder.load(self.encoder_folder)

    def kills(self) -> Any:
        """Kill writers at random moments; count the kills during each kind of operation."""
        folder = self.work_folder / "killed"
        n = self.options.kills
        states.perform(0, folder, self.encoder)
        return killing.kill_at_random(
            folder,
            self.processes,
            self.encoder,
            self.encoder_folder,
            n,
            self.options.seed,
            lambda n_killed: show_progress(f"kill {n_killed} of {n}"),
        )

    def calls(self) -> Any:
        """Kill a writer at each call that changes a file, in each operation; count the states that it leaves."""
        counts: dict[str, Counter[str]] = {}
        for name in supervised.OPERATIONS:
            case = supervised.Case(name, self.work_folder / "calls", self.encoder)
            for at in supervised.choose_calls(case, self.processes, self.encoder_folder, self.options.calls):
                is_committed = supervised.kill_at_call(case, self.processes, self.encoder_folder, at)
                counts.setdefault(name, Counter())["new state" if is_committed else "old state"] += 1
                self.processes.stop_all()
                show_progress(f"{name}: killed at call {at}")
        return counts

    def failures(self) -> Any:
        """Let each call that changes a file fail, in each way; count the messages and outcomes."""
        counts: dict[str, Counter[str]] = {}
        for name in supervised.OPERATIONS:
            case = supervised.Case(name, self.work_folder / "failures", self.encoder)
            calls = supervised.choose_calls(case, self.processes, self.encoder_folder, self.options.calls)
            writer = supervised.Writer(self.processes, self.encoder_folder)
            for at in calls:
                for error, is_lasting in supervised.FAULTS:
                    fault = supervised.Fault(at, error, is_lasting=is_lasting)
                    outcome, message = supervised.fail_at_call(case, writer, fault)
                    cause = message.partition(" (")[0].rpartition(": ")[2]  # the message without its path
                    counts.setdefault(name, Counter())[cause or outcome] += 1
                show_progress(f"{name}: call {at} failed")
        return counts

    def damages(self) -> Any:
        """Damage the files of each kind of index; count the outcomes by file name ending."""
        counts = {}
        for name in damage.INDEX_NAMES:
            folder = self.work_folder / name
            index_states = damage.make_index(name, folder / "original", self.encoder)
            problems, outcomes = damage.damage_each(
                index_states, folder, self.processes, self.encoder_folder, self.options.damages, self.options.seed
            )
            assert not problems, "\n".join(problems)
            counts[name] = {f"{ending}: {outcome}": n for (ending, outcome), n in sorted(outcomes.items())}
            show_progress(f"{name}: {sum(outcomes.values())} damages")
        return counts

    def processes_reading(self) -> Any:
        """Read in processes for minutes; return the number of states that each reader saw."""
        folder = self.work_folder / "read by processes"
        states.perform(0, folder, self.encoder)
        seconds = self.options.minutes * 60
        return reading.read_in_processes(folder, self.processes, self.encoder, self.encoder_folder, seconds)

    def threads_reading(self) -> Any:
        """Read in threads for minutes; return the numbers of searches and of changes."""
        folder = self.work_folder / "read by threads"
        states.perform(0, folder, self.encoder)
        return reading.read_in_threads(folder, self.encoder, self.options.minutes * 60)

    def refinements(self) -> Any:
        """Kill refinements at random moments; count their outcomes."""
        folder = self.work_folder / "refined"
        folder.mkdir()
        for limit in refining.make_limits(folder):
            setattr(*limit)
        n = self.options.kills
        return refining.kill_refinements(
            folder, n, self.options.seed, lambda n_killed: show_progress(f"refinement {n_killed} of {n}")
        )


PARTS = ("kills", "calls", "failures", "damages", "processes_reading", "threads_reading", "refinements")


def main() -> None:
    """Read the options, run the parts and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=2000, help="writers to kill at random moments")
    parser.add_argument("--calls", type=int, default=10_000, help="calls to try of each operation, at most")
    parser.add_argument("--damages", type=int, default=2000, help="damages of each kind of index")
    parser.add_argument("--minutes", type=float, default=3, help="time for readers in processes, and again in threads")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts of the run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="folder for the indexes; default: in memory if possible")
    parser.add_argument("--output", type=Path, help="file for the summary")
    options = parser.parse_args()
    states.set_limits()
    summary: dict[str, Any] = {"seed": options.seed}
    parent = options.folder or MEMORY_FOLDER
    with tempfile.TemporaryDirectory(dir=parent) as folder, Processes(start_fork_server()) as processes:
        soak = Soak(options, Path(folder), processes)
        for part in options.only:
            start = time.perf_counter()
            counts = getattr(soak, part)()
            processes.stop_all()
            summary[part] = {"seconds": round(time.perf_counter() - start, 1), "counts": counts}
            show_progress(f"{part}: {summary[part]['seconds']} s\n")
    text = json.dumps(summary, indent=2)
    print(text) if options.output is None else options.output.write_text(text + "\n")


def show_progress(message: str) -> None:
    """Overwrite the line of progress."""
    print(f"\r{message:60}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
