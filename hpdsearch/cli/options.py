"""Options and arguments that several commands share."""

import re
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from hpdsearch.errors import IndexFolderError

if TYPE_CHECKING:
    from hpdsearch.corpus import LineFormat
    from hpdsearch.dense import IndexSpec
    from hpdsearch.records import Document

INDEXES = Path("indexes")
SPEC_FIELDS = ("kind", "codec", "ann_recall", "memory", "nlist", "nprobe", "rescore")
Command = TypeVar("Command", bound=Callable[..., Any])
_ENDINGS = {".gz", ".txt", ".jsonl", ".csv", ".tsv", ".parquet", ".md", ".rst", ".html", ".htm"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


class RenamedOption(click.Option):
    """An option that still accepts its former names. Help shows only the new name.

    Args:
        arguments: the names, as for click.Option.
        former: names of earlier releases.
        attributes: as for click.Option.
    """

    def __init__(self, *arguments: Any, former: tuple[str, ...], **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.former = former

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser store the value of a former name under that name."""
        super().add_to_parser(parser, ctx)
        for name in self.former:
            option = copy(self)
            option.name = name
            option.opts = [name]
            click.Option.add_to_parser(option, parser, ctx)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Take the value from the new name or from a former one."""
        for name in self.former:
            if name not in opts:
                continue
            if self.name in opts:
                raise click.UsageError(f"{name} is the former name of {self.opts[-1]}; give only one of them", ctx)
            opts = {str(self.name): opts[name]}
        return super().consume_value(ctx, opts)


class EnumChoice(click.Choice[Any]):
    """The values of an enum. Its module is imported only when help or a value needs it, since many are slow to import.

    Args:
        module: name of the module.
        enum: name of the enum in it.
    """

    def __init__(self, module: str, enum: str) -> None:
        self.case_sensitive = True
        self._module = module
        self._enum = enum

    @cached_property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The values, in the order of the enum."""
        return tuple(member.value for member in getattr(import_module(self._module), self._enum))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the member of the enum."""
        return getattr(import_module(self._module), self._enum)(super().convert(value, param, ctx))


def read_size(text: str) -> int:
    """Return the bytes of a size such as 2G, 500M or 1.5GB, in powers of 1,000."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise click.BadParameter(f"expected a size such as 2G or 500M, got {text!r}")
    return int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))


def apply_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Add options to a command; help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def corpus_options(command: Command) -> Command:
    """Add the options that say how a corpus is read; `Corpus` takes them."""
    return apply_options(
        command,
        click.option(
            "--id-field",
            metavar="NAME",
            show_default="id or _id, else FILE:LINE",
            help="Read the document's id from this field.",
        ),
        click.option("--text-field", metavar="NAME", default="text", help="Read the text from this field."),
        click.option("--title-field", metavar="NAME", default="title", help="Read the title from this field."),
        click.option(
            "--stdin-format",
            type=EnumChoice("hpdsearch.corpus", "LineFormat"),
            default="txt",
            help="Read standard input (-) in this format.",
        ),
        click.option("--strict", is_flag=True, help="Fail on empty, split and duplicate documents."),
    )


def spec_options(command: Command) -> Command:
    """Add the options that describe an index; `take_spec` reads them."""
    return apply_options(
        command,
        click.option(
            "--index-type",
            "kind",
            cls=RenamedOption,
            former=("--kind",),
            type=EnumChoice("hpdsearch.dense", "IndexType"),
            default="auto",
            help="Scan all vectors (flat), or probe inverted lists (ivf).",
        ),
        click.option(
            "--codec",
            type=EnumChoice("hpdsearch.dense", "Codec"),
            default="auto",
            help="Encode the vectors in memory with this codec.",
        ),
        click.option(
            "--ann-recall",
            cls=RenamedOption,
            former=("--recall",),
            type=click.FloatRange(0, 1, min_open=True),
            metavar="RECALL",
            default=0.95,
            help="Set the recall target: searches find this share of the exact 10 nearest passages, as measured on "
            "this corpus.",
        ),
        click.option(
            "--memory",
            type=read_size,
            metavar="SIZE",
            default="0",
            show_default="no limit",
            help="Limit the memory of codes and lists, as in 2G. Segments under 10,000 vectors do not count.",
        ),
        click.option(
            "--nlist",
            type=int,
            metavar="N",
            default=0,
            show_default="2 sqrt(n) for pq and rabitq, 4 sqrt(n) otherwise",
            help="Make this many inverted lists (ivf).",
        ),
        click.option(
            "--nprobe",
            type=int,
            metavar="N",
            default=0,
            show_default="measured",
            help="Probe this many lists per query (ivf).",
        ),
        click.option(
            "--rescore",
            type=int,
            metavar="N",
            default=0,
            show_default="measured",
            help="Score this many candidates per hit again with the exact vectors.",
        ),
    )


def take_spec(options: dict[str, Any], *, dim: int | None = None) -> "IndexSpec":
    """Remove the options of `spec_options` from a command's options and return the spec that they describe."""
    from hpdsearch.dense import IndexSpec

    return IndexSpec(dim=dim or 0, **{name: options.pop(name) for name in SPEC_FIELDS})


encoder_option = click.option(
    "--encoder",
    metavar="ENCODER",
    show_default="base",
    help="Use this encoder: a built-in one (see hpdsearch encoders) or a folder.",
)
dim_option = click.option(
    "--dim",
    type=click.IntRange(min=1),
    metavar="DIM",
    show_default="all",
    help="Truncate vectors to this many dimensions.",
)


def index_option(default: str) -> Callable[[Command], Command]:
    """Return the option -i; help shows `default`."""
    return click.option(
        "-i",
        "--index",
        "index_option",
        metavar="INDEX",
        show_default=default,
        help="Use this index folder, or the index of this name under indexes/.",
    )


def index_parameters(command: Command) -> Command:
    """Add INDEX, which is an argument or the value of -i; `find_index` takes both."""
    argument = click.argument("index_argument", metavar="[INDEX]", required=False)
    return apply_options(command, argument, index_option("the only index under indexes/"))


def find_index(option: str | None, argument: str | None = None) -> Path:
    """Return the folder of the index: a path, a name under indexes/, or the only index there.

    Args:
        option: value of -i.
        argument: value of the argument INDEX.

    Raises:
        click.UsageError: both are given.
        IndexFolderError: neither is given, and indexes/ does not hold exactly one index.
    """
    from hpdsearch.catalog import FILE_NAME

    if option is not None and argument is not None:
        raise click.UsageError(f"expected one INDEX, got {argument} and -i {option}")
    if (name := option if argument is None else argument) is not None:
        path = Path(name)
        return INDEXES / name if not path.exists() and (INDEXES / name / FILE_NAME).is_file() else path
    found = sorted(path.parent for path in INDEXES.glob(f"*/{FILE_NAME}"))
    if not found:
        raise IndexFolderError(
            f"{INDEXES}/: holds no index; make one with: hpdsearch index CORPUS, or name one with -i INDEX"
        )
    if len(found) > 1:
        raise IndexFolderError(f"{INDEXES}/: holds several indexes; choose one with -i: {', '.join(map(str, found))}")
    return found[0]


def split_index(option: str | None, arguments: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return INDEX and the other arguments of a command line that begins with INDEX unless -i names it.

    Raises:
        click.UsageError: neither names an index.
    """
    if option is not None:
        return option, arguments
    if not arguments:
        raise click.UsageError("Missing argument 'INDEX'.")
    return arguments[0], arguments[1:]


@dataclass
class Corpus:
    """The documents of a command line. The length hint becomes more exact as they are read."""

    paths: tuple[str, ...]
    id_field: str | None
    text_field: str
    title_field: str
    stdin_format: "LineFormat"
    strict: bool

    def __post_init__(self) -> None:
        from hpdsearch.corpus import Fields, ReadStats, read_corpus

        self.stats: ReadStats = ReadStats()
        self._documents = read_corpus(
            self.paths,
            fields=Fields(self.id_field, self.text_field, self.title_field),
            strict=self.strict,
            stats=self.stats,
            stdin_format=self.stdin_format,
        )

    def __iter__(self) -> "Iterator[Document]":
        return self._documents

    def __length_hint__(self) -> int:
        """Estimate the number of documents from the share of bytes read so far; 0 if it is unknown."""
        stats = self.stats
        if not stats.bytes_total or not stats.bytes_read:
            return 0
        return max(stats.n_documents, round(stats.n_documents * stats.bytes_total / stats.bytes_read))


def choose_folder(corpus: str) -> Path:
    """Return indexes/NAME for the first corpus of a command line: corpus.jsonl.gz -> indexes/corpus."""
    if corpus == "-":
        return INDEXES / "stdin"
    path = Path(corpus).resolve()
    while path.suffix.lower() in _ENDINGS and path.stem:
        path = path.with_suffix("")
    return INDEXES / (path.name or "root")
