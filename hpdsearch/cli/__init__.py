"""The command line: read options, call one function, print. Results go to stdout, progress and errors to stderr.

The commands import what they need when they run, so that `hpdsearch --help` stays quick.
"""

import logging
from typing import Any

import click

from hpdsearch import __version__
from hpdsearch.cli.distill import distill
from hpdsearch.cli.encode import encode, encoders, export
from hpdsearch.cli.evaluate import evaluate
from hpdsearch.cli.index import add, delete, index
from hpdsearch.cli.info import info
from hpdsearch.cli.maintain import compact, tune, verify
from hpdsearch.cli.query import query
from hpdsearch.errors import HpdsearchError


class HpdsearchGroup(click.Group):
    """Turns the errors that a user can mend into one clear line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except HpdsearchError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.filename is None or isinstance(error, BrokenPipeError):
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error


@click.group(cls=HpdsearchGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hpdsearch")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, to stderr.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
@click.pass_context
def main(ctx: click.Context, verbose: bool, quiet: bool) -> None:
    """Semantic search over your own text.

    \b
    hpdsearch index corpus.txt          index a file, or several, or folders
    hpdsearch query                     ask, one query after the other
    hpdsearch query "fear of spiders"   ask once
    """
    ctx.obj = quiet
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("hpdsearch").setLevel(logging.INFO if verbose else logging.WARNING)


for command in (
    index,
    query,
    add,
    delete,
    info,
    tune,
    compact,
    verify,
    encode,
    encoders,
    export,
    distill,
    evaluate,
):
    main.add_command(command)
