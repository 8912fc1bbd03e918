"""Keep the rows of an earlier result beside those that are measured now."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.results import Result


def read_earlier(path: Path, task: Result) -> Result:
    """Read an earlier result file.

    Raises:
        SystemExit: there is none, or it is that of other texts or numbers of documents.
    """
    if not path.is_file():
        raise SystemExit(f"--keep: expected an earlier result file at {path}; there is none, so measure without --keep")
    earlier: Result = json.loads(path.read_bytes())
    for key, value in json.loads(json.dumps(task)).items():
        if earlier["settings"].get(key) != value:
            raise SystemExit(
                f"--keep: {path} was measured with other {key} than asked for now, so its rows cannot be compared; "
                "give the options and files of that run, or measure without --keep"
            )
    return earlier


def merge_rows(earlier: Sequence[Result], rows: Sequence[Result], encoders: Sequence[str]) -> list[Result]:
    """Return the measured rows in the places of the earlier rows of the same systems, and the other earlier rows.

    Args:
        earlier: rows of the earlier result.
        rows: measured now.
        encoders: measured now. All earlier rows of one of them go, also those with the teacher's documents.
    """
    new = {row_key(row): row for row in rows}
    left = [row for row in earlier if row_key(row) in new or not is_of(row, encoders)]
    return [new.pop(row_key(row), row) for row in left] + list(new.values())


def row_key(row: Result) -> tuple[str, int]:
    """Return the name and width of the system of a row."""
    return row["system"], row["dim"]


def is_of(row: Result, encoders: Sequence[str]) -> bool:
    """Return whether a row is of one of the encoders: alone, without its adapter, or asking the teacher's documents."""
    return any(f"{row['system']} ".startswith(f"{name} ") for name in encoders)


def describe_kept(earlier: Result, rows: Sequence[Result], measured: Sequence[Result]) -> list[Result]:
    """Return when, where and from which encoders the kept rows come: an entry for each run that measured some of them.

    Args:
        earlier: the earlier result.
        rows: the merged rows.
        measured: those of them that were measured now.
    """
    settings = earlier["settings"]
    older = settings.get("kept", [])
    of_older = {name for run in older for name in run["systems"]}
    own = {key: earlier[key] for key in ("date", "commit", "machine")} | {"encoders": settings["encoders"]}
    own["systems"] = [row["system"] for row in earlier["systems"] if row["system"] not in of_older]
    left = {row["system"] for row in rows} - {row["system"] for row in measured}
    runs = []
    for run in [*older, own]:
        systems = [name for name in dict.fromkeys(run["systems"]) if name in left]
        encoders = [one for one in run["encoders"] if one.split(" ")[0] in systems]
        if systems:
            runs.append(run | {"systems": systems, "encoders": encoders})
    return runs
