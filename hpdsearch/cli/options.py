"""Options and small helpers that several commands share."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hpdsearch.common.progress import Progress
from hpdsearch.errors import IndexFolderError

if TYPE_CHECKING:
    from hpdsearch.dense import IndexSpec
    from hpdsearch.records import Document

INDEXES = Path("indexes")
Command = TypeVar("Command", bound=Callable[..., Any])
_ENDINGS = {".gz", ".txt", ".jsonl", ".csv", ".tsv", ".parquet", ".md", ".rst", ".html", ".htm"}


def corpus_options(command: Command) -> Command:
    """Add the options that say how a corpus is read."""
    options = [
        click.option("--id-field", help="Field with the document's id.  [default: id or _id, else file:line]"),
        click.option("--text-field", default="text", show_default=True, help="Field with the text."),
        click.option("--title-field", default="title", show_default=True, help="Field with the title."),
        click.option(
            "--stdin-format",
            type=click.Choice(["txt", "jsonl", "csv", "tsv"]),
            default="txt",
            show_default=True,
            help="How standard input (-) holds documents.",
        ),
        click.option("--strict", is_flag=True, help="Empty, cut and duplicate documents are errors."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


class Size(click.ParamType[int]):
    """A count of bytes as people write it: 2G, 500M, 1.5GB (powers of 1,000)."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes."""
        found = _SIZE.fullmatch(str(value).strip())
        if not found:
            self.fail(f"expected a size such as 2G or 500M, got {value!r}", param, ctx)
        return int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))


class Recall(click.FloatRange):
    """A share of the exact nearest passages."""

    def __init__(self) -> None:
        super().__init__(min=0, max=1, min_open=True)


recall_option = click.option(
    "--recall",
    type=Recall(),
    help="Take another point of the measured curve (see: hpdsearch info): the share of the exact ten nearest to find.",
)


def spec_options(command: Command) -> Command:
    """Add the options that say what index is made; `spec_of` reads them."""
    options = [
        click.option("--kind", type=click.Choice(["auto", "flat", "ivf"]), default="auto", show_default=True),
        click.option(
            "--codec", type=click.Choice(["auto", "f32", "sq8", "pq", "rabitq"]), default="auto", show_default=True
        ),
        click.option(
            "--recall",
            type=Recall(),
            default=0.95,
            show_default=True,
            help="Promise: the share of the exact ten nearest passages that a search finds, measured on this corpus.",
        ),
        click.option(
            "--memory",
            type=Size(),
            default=0,
            help="Bound for codes and lists, as in 2G; segments under 10,000 vectors do not count.  [default: none]",
        ),
        click.option(
            "--nlist",
            type=int,
            default=0,
            help="Inverted lists (ivf).  [default: about 4 sqrt(n) for f32 and sq8, 2 sqrt(n) for pq and rabitq]",
        ),
        click.option("--nprobe", type=int, default=0, help="Lists visited per query (ivf).  [default: measured]"),
        click.option(
            "--rescore", type=int, default=0, help="Candidates scored exactly for each hit wanted.  [default: measured]"
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def spec_of(options: dict[str, Any], *, dim: int | None = None) -> "IndexSpec":
    """Take the options of `spec_options` out of a command's and return what they ask for."""
    from hpdsearch.dense import Codec, IndexSpec, Kind

    kind, codec = Kind(options.pop("kind")), Codec(options.pop("codec"))
    numbers = {name: options.pop(name) for name in ("memory", "nlist", "nprobe", "rescore")}
    return IndexSpec(kind, codec, ann_recall=options.pop("recall"), dim=dim or 0, **numbers)


encoder_option = click.option("--encoder", help="Name of a built-in encoder (see: hpdsearch encoders), or a folder.")
dim_option = click.option("--dim", type=click.IntRange(min=1), help="Numbers to keep of each vector.  [default: all]")


@dataclass
class Corpus:
    """The documents of a command line, with a length hint that grows truer as they are read."""

    paths: tuple[str, ...]
    id_field: str | None
    text_field: str
    title_field: str
    stdin_format: str
    strict: bool

    def __post_init__(self) -> None:
        from hpdsearch.corpus import Fields, LineFormat, ReadStats, read_corpus

        self.stats: ReadStats = ReadStats()
        self._documents = read_corpus(
            self.paths,
            fields=Fields(self.id_field, self.text_field, self.title_field),
            strict=self.strict,
            stats=self.stats,
            stdin_format=LineFormat(self.stdin_format),
        )

    def __iter__(self) -> "Iterator[Document]":
        return self._documents

    def __length_hint__(self) -> int:
        """Estimate the number of documents from the share of bytes read so far; 0 where it cannot be known."""
        stats = self.stats
        if not stats.bytes_total or not stats.bytes_read:
            return 0
        return max(stats.n_documents, round(stats.n_documents * stats.bytes_total / stats.bytes_read))


def default_folder(corpus: str) -> Path:
    """Return indexes/NAME for the first corpus of a command line: corpus.jsonl.gz -> indexes/corpus."""
    if corpus == "-":
        return INDEXES / "stdin"
    path = Path(corpus).resolve()
    while path.suffix.lower() in _ENDINGS and path.stem:
        path = path.with_suffix("")
    return INDEXES / (path.name or "root")


def find_index(folder: str | None) -> Path:
    """Return the index that is meant: a path, a name under indexes/, or the only one there.

    Raises:
        IndexFolderError: there is none, or there are several to choose from.
    """
    from hpdsearch.catalog import FILE_NAME

    if folder is not None:
        path = Path(folder)
        return INDEXES / folder if not path.exists() and (INDEXES / folder / FILE_NAME).is_file() else path
    found = sorted(path.parent for path in INDEXES.glob(f"*/{FILE_NAME}"))
    if not found:
        raise IndexFolderError(
            f"{INDEXES}/: holds no index; make one with: hpdsearch index CORPUS, or name one with -i FOLDER"
        )
    if len(found) > 1:
        raise IndexFolderError(f"{INDEXES}/: holds several indexes; choose one with -i: {', '.join(map(str, found))}")
    return found[0]


def bars() -> Progress:
    """Return progress bars on a terminal, unless -q was given."""
    return Progress(enabled=sys.stderr.isatty() and not click.get_current_context().obj)


def echo_json(value: Any) -> None:
    """Print one JSON value on a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False))


def bytes_text(n: float) -> str:
    """Return a count of bytes as people read it: 15.1 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"
