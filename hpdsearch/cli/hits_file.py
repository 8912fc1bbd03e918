"""Write hits to a file in the format that its name says: .jsonl, .json, .csv or .tsv."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from hpdsearch.cli.output_file import open_output_file
from hpdsearch.errors import OutputError
from hpdsearch.records import Hit, describe_hit

COLUMNS = ("rank", "doc_id", "score", "title", "location", "passage", "metadata")


def write_hits(path: Path, hits: Sequence[Hit], *, inputs: Iterable[Path] = ()) -> None:
    """Write hits, best first, to a file that does not exist yet.

    Args:
        path: its ending chooses the format.
        hits: the hits.
        inputs: as in `open_output`.

    Raises:
        OutputError: the ending is unknown, or the file exists or cannot be written.
    """
    if (render := FORMATS.get(path.suffix.lower())) is None:
        raise OutputError(f"{path}: expected a name that ends in {', '.join(FORMATS)}")
    try:
        with open_output_file(path, overwrite=False, inputs=inputs) as file:
            file.write(render(hits).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _json_lines(hits: Sequence[Hit]) -> str:
    return "".join(json.dumps(describe_hit(*one), ensure_ascii=False) + "\n" for one in enumerate(hits, start=1))


def _json(hits: Sequence[Hit]) -> str:
    return json.dumps([describe_hit(*one) for one in enumerate(hits, start=1)], ensure_ascii=False, indent=1) + "\n"


def _table(hits: Sequence[Hit], delimiter: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in enumerate(hits, start=1):
        row = describe_hit(*one)
        row["metadata"] = json.dumps(row["metadata"], ensure_ascii=False)
        writer.writerow([row[name] for name in COLUMNS])
    return text.getvalue()


FORMATS: Mapping[str, Callable[[Sequence[Hit]], str]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": lambda hits: _table(hits, ","),
    ".tsv": lambda hits: _table(hits, "\t"),
}
