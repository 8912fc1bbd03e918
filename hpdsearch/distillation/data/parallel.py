"""Parallel texts: a text in the teacher's language and its translation, which a student learns to map to one vector.

    NAME.tsv     TEXT<TAB>TRANSLATION, or TEXT<TAB>TRANSLATION<TAB>LANGUAGE
    NAME.jsonl   {"text": ..., "translation": ..., "language": ...}, the language may be missing

The files are UTF-8; with a further ending .gz they are compressed.

Source: Reimers & Gurevych 2020, "Making monolingual sentence embeddings multilingual using knowledge distillation",
arXiv:2004.09813.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hpdsearch.corpus.json_records import parse_object
from hpdsearch.corpus.lines import SourceLocation, open_stream, read_text_lines, strip_line_end
from hpdsearch.errors import CorpusError, DistillError

TSV, JSONL, GZIP = ".tsv", ".jsonl", ".gz"
NO_LANGUAGE = ""


class Pair(NamedTuple):
    """A text and its translation.

    Attributes:
        text: in the language of the teacher.
        translation: in another language; it gets the vector of the text.
        language: of the translation, such as "de"; "" if it is not stated.
    """

    text: str
    translation: str
    language: str = NO_LANGUAGE


def read_pairs(paths: Iterable[Path]) -> list[Pair]:
    """Read the pairs of some files, without repeated ones, in their order.

    Raises:
        DistillError: a file has another ending, it cannot be read, a line is no pair, or there is no pair at all.
    """
    pairs: dict[Pair, None] = {}
    named = []
    for path in paths:
        named.append(str(path))
        try:
            pairs |= dict.fromkeys(_read_file(path))
        except CorpusError as error:
            raise DistillError(str(error)) from error
    if named and not pairs:
        raise DistillError(f"{', '.join(named)}: expected parallel texts, got no line with text")
    return list(pairs)


def _read_file(path: Path) -> Iterator[Pair]:
    compressed = path.suffix == GZIP
    kind = Path(path.stem).suffix if compressed else path.suffix
    if kind not in (TSV, JSONL):
        raise DistillError(
            f"{path}: expected parallel texts in a file .tsv, .jsonl, .tsv.gz or .jsonl.gz, got another ending"
        )
    parse = _parse_columns if kind == TSV else _parse_record
    location = SourceLocation(str(path))
    with open_stream(path, location, compressed=compressed) as (file, _):
        for line in read_text_lines(file, location):
            if not line.isspace():
                yield parse(strip_line_end(line), str(location))


def _parse_columns(line: str, where: str) -> Pair:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) not in (2, 3) or not all(columns[:2]):
        raise DistillError(
            f"{where}: expected TEXT<TAB>TRANSLATION or TEXT<TAB>TRANSLATION<TAB>LANGUAGE, got {line!r:.80}"
        )
    return Pair(*columns)


def _parse_record(line: str, where: str) -> Pair:
    record = parse_object(line, where)
    values = [record.get("text"), record.get("translation"), record.get("language", NO_LANGUAGE)]
    if not all(isinstance(value, str) for value in values) or not all(str(value).strip() for value in values[:2]):
        raise DistillError(f'{where}: expected strings "text" and "translation", got {line:.80}')
    return Pair(*(value.strip() for value in values))
