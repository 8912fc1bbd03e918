"""Options and arguments of the index, its spec and its encoder, which several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.parameters import Command, EnumChoice, RenamedOption, apply_options, read_size
from hpdsearch.errors import IndexFolderError

if TYPE_CHECKING:
    from hpdsearch.dense import IndexSpec

INDEXES = Path("indexes")
SPEC_FIELDS = ("kind", "codec", "ann_recall", "memory", "nlist", "nprobe", "rescore")


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
            help="Scan all vectors (flat), or probe inverted lists (ivf). "
            "Segments under 5,000 vectors are always flat.",
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
