"""Measure the peak resident memory of `hpdsearch index` and its growth with the corpus.

The operating system reports the peak of the whole process; it includes pages of mapped files.

    python -m benchmarks.product.indexing_memory --corpus lines.txt            # 1,000,000 lines or more
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.common.harness import (
    HPDSEARCH,
    ProcessRun,
    argument_parser,
    file_identity,
    open_bytes,
    positive,
    run,
    run_interleaved,
)
from benchmarks.common.machine import peak_memory_bytes
from benchmarks.common.results import Result, measurement, ratios, result, target, write_result
from hpdsearch.encoder import DEFAULT_ENCODER

MB = 1e6


def main() -> None:
    """Read the options, measure, write the result."""
    parser = argument_parser(__doc__, "indexing_memory", repeats=1)
    parser.add_argument("--corpus", type=Path, required=True, help=".txt or .txt.gz, one document per line")
    parser.add_argument("--lines", type=positive, nargs="+", default=[200_000, 1_000_000], help="corpus sizes")
    parser.add_argument("--keep", type=Path, help="keep the largest index in this folder")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="built-in name or encoder folder")
    options = parser.parse_args()
    finished = measure(options.corpus, options.lines, options.encoder, options.repeats, options.keep)
    measurements, targets = figures(finished)
    settings = {
        "repeats": options.repeats,
        "corpus": file_identity(options.corpus),
        "lines": options.lines,
        "encoder": options.encoder if not Path(options.encoder).is_dir() else Path(options.encoder).name,
    }
    write_result(result("indexing_memory", settings, measurements, targets), options.output)


def measure(
    corpus: Path, sizes: Sequence[int], encoder: str, repeats: int, keep: Path | None = None
) -> dict[int, list[ProcessRun]]:
    """Index the first n lines of a file in new processes, and return the measured processes by n.

    Raises:
        SystemExit: the file has fewer lines, or a peak may be that of this process.
    """

    def index(n: int, _: int) -> ProcessRun:
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(folder) / "lines.txt"
            copy_lines(corpus, lines, n)
            output = keep if keep and n == max(sizes) else Path(folder) / "index"
            return run([HPDSEARCH, "index", lines, "-o", output, "--overwrite", "--encoder", encoder])

    by_name = run_interleaved({str(n): partial(index, n) for n in sizes}, repeats, warm_up=False)
    finished = {n: by_name[str(n)] for n in sizes}
    require_above_parent_peak([one.peak_bytes for runs in finished.values() for one in runs])
    return finished


def copy_lines(corpus: Path, output: Path, n: int) -> None:
    """Copy the first n lines that are not blank, because a blank line is not a document.

    Raises:
        SystemExit: the file has fewer such lines.
    """
    n_written = 0
    with open_bytes(corpus) as source, output.open("wb") as file:
        for line in islice((line for line in source if line.strip()), n):
            file.write(line)
            n_written += 1
    if n_written < n:
        raise SystemExit(f"{corpus}: expected at least {n:,} lines with text, got {n_written:,}")


def require_above_parent_peak(peaks: Sequence[int]) -> None:
    """Check the peaks against this process: on Linux the peak of a child starts at the peak of its parent.

    Raises:
        SystemExit: a peak is not above the peak of this process.
    """
    own = peak_memory_bytes()
    if min(peaks) <= own:
        raise SystemExit(f"expected peaks above the {own / MB:.0f} MB of this process, got {min(peaks) / MB:.0f} MB")


def figures(finished: Mapping[int, Sequence[ProcessRun]]) -> tuple[list[Result], list[Result]]:
    """Return measurements and targets: at most 1.5 GB at any size, and little growth from smallest to largest size."""
    peaks = {n: [one.peak_bytes / MB for one in runs] for n, runs in finished.items()}
    memory = [measurement(f"peak memory, {n:,} lines", "MB", values) for n, values in peaks.items()]
    times = [
        measurement(f"hpdsearch index, {n:,} lines", "s", [one.seconds for one in runs]) for n, runs in finished.items()
    ]
    targets = [target(item, at_most=1500) for item in memory]
    if len(peaks) == 1:
        return [*memory, *times], targets
    small, large = min(peaks), max(peaks)
    growth = ratios(f"peak memory, {large:,} / {small:,} lines", peaks[large], peaks[small])
    return [*memory, *times, growth], [*targets, target(growth, at_most=1.25)]


if __name__ == "__main__":
    main()
