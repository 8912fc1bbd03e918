"""Options of an index spec and of an encoder, which several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpdsearch.cli.parameters import Command, EnumChoice, RenamedOption, UserPath, apply_options, expand_home, read_size

if TYPE_CHECKING:
    from hpdsearch.dense import IndexSpec

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
    type=expand_home,
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


device_option = click.option(
    "--device",
    type=EnumChoice("hpdsearch.encoder.device", "Device"),
    default="auto",
    help="Encode on the CPU (cpu) or on a GPU by torch, in bfloat16 (cuda). auto is cuda if torch is installed and "
    "finds a GPU, else cpu.",
)


language_option = click.option(
    "--language",
    metavar="LANGUAGE",
    default="auto",
    show_default=True,
    help="Stem words by the rules of this language for lexical search, as in de, or of several, as in de,fr. auto: "
    "those of the documents. An unknown language is an error that lists all.",
)


def draft_options(command: Command) -> Command:
    """Add the options that choose between a draft and direct encoding."""
    return apply_options(
        command,
        click.option(
            "--draft/--no-draft",
            default=True,
            show_default=True,
            help="Make many documents searchable by a fast encoder first, then refine their vectors.",
        ),
        click.option("--no-refine", is_flag=True, help="Leave the draft; hpdsearch refine goes on with it."),
    )


document_encoder_option = click.option(
    "--encoder",
    "document_encoder",
    type=expand_home,
    metavar="ENCODER",
    show_default="as stored in the index",
    help="Find the encoder of the index here, if its folder has moved. The index stores the new place.",
)


encoder_output_option = click.option(
    "-o",
    "--output",
    type=UserPath(path_type=Path),
    metavar="FOLDER",
    required=True,
    help="Write the encoder folder here.",
)
