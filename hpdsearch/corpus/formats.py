"""The readers of the formats with lines, and of .txt."""

from collections.abc import Callable, Iterator

from hpdsearch.corpus.json_records import read_jsonl
from hpdsearch.corpus.json_stream import read_json
from hpdsearch.corpus.lines import SourceLocation, strip_line_end
from hpdsearch.corpus.options import LineFormat, ReadOptions, ReadStats
from hpdsearch.corpus.tables import read_csv, read_tsv
from hpdsearch.records import Document

LineReader = Callable[[Iterator[str], SourceLocation, ReadOptions, ReadStats], Iterator[Document]]


def read_txt(
    lines: Iterator[str], location: SourceLocation, options: ReadOptions, stats: ReadStats
) -> Iterator[Document]:
    """Yield one document per line."""
    for line in lines:
        if location.error is not None:
            stats.skipped.add_or_raise(location.take_error(), options.on_error)
            continue
        where = f"{location.name}:{location.line}"
        yield Document(where, strip_line_end(line), "", {}, where)


LINE_READERS: dict[LineFormat, LineReader] = {
    LineFormat.TXT: read_txt,
    LineFormat.JSONL: read_jsonl,
    LineFormat.JSON: read_json,
    LineFormat.CSV: read_csv,
    LineFormat.TSV: read_tsv,
}
