"""The command line: read options, call one function, print. Results go to stdout, progress and errors to stderr.

A command imports its modules when it runs, so that `hpdsearch --help` is fast.
"""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import click

from hpdsearch import __version__
from hpdsearch.cli.adopt import adopt
from hpdsearch.cli.distill import distill
from hpdsearch.cli.encode import encode, encoders
from hpdsearch.cli.evaluate import evaluate
from hpdsearch.cli.fit_queries import fit_queries
from hpdsearch.cli.index import add, delete, index, refine
from hpdsearch.cli.info import info
from hpdsearch.cli.maintain import compact, reindex, verify
from hpdsearch.cli.mcp import mcp
from hpdsearch.cli.output import LogFormatter, echo
from hpdsearch.cli.plan import plan
from hpdsearch.cli.query import query
from hpdsearch.cli.serve import serve
from hpdsearch.cli.streams import discard_unwritten, keep_undecodable_input, open_closed_streams
from hpdsearch.cli.transfer import export, import_vectors
from hpdsearch.cli.watch import watch
from hpdsearch.common.outputs import STDOUT_NAME
from hpdsearch.errors import HpdsearchError

SECTIONS = {
    "Build and search": (index, query, serve),
    "Change documents": (add, delete, watch),
    "Inspect and maintain": (info, refine, reindex, compact, verify, plan),
    "Other programs": (mcp, export, import_vectors),
    "Encoders": (encoders, encode, distill, adopt, fit_queries, evaluate),
}
FORMER_NAMES = {"tune": "reindex"}


def start_logging() -> None:
    """Log warnings to stderr; -v adds the progress of the work."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("hpdsearch").setLevel(logging.WARNING)


class ShownError(click.ClickException):
    """An error of click, whose message may quote the command line, that `echo` prints."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.message)
        self.error = error
        self.exit_code = error.exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the usage, the message and the hint of the error to stderr."""
        with io.StringIO() as shown, suppress(OSError):  # if stderr cannot be written, only the exit code remains
            self.error.show(shown)
            echo(shown.getvalue().removesuffix("\n"), err=True)


@contextmanager
def shown_errors() -> Iterator[None]:
    """Turn the user's errors into ShownErrors: click's own, HpdsearchErrors, OSErrors of files and streams."""
    try:
        yield
    except click.ClickException as error:
        raise ShownError(error) from error
    except HpdsearchError as error:
        raise ShownError(click.ClickException(str(error))) from error
    except OSError as error:
        if isinstance(error, BrokenPipeError) and error.filename in (None, STDOUT_NAME):  # click ends quietly
            raise
        where = error.filename or "standard input or output"
        raise ShownError(click.ClickException(f"{os.fsdecode(where)}: {error.strerror or error}")) from error


class HpdsearchGroup(click.Group):
    """A group that shows its commands in sections and reports the user's errors as one line and exit code 1."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name or by its former name."""
        return super().get_command(ctx, FORMER_NAMES.get(cmd_name, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and short descriptions of the commands, section by section."""
        width = max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            rows = [(f"{command.name:<{width}}", command.get_short_help_str(limit=200)) for command in commands]
            with formatter.section(title):
                formatter.write_dl(rows)

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run the command line, whatever the caller did to the standard streams."""
        open_closed_streams()
        keep_undecodable_input()
        start_logging()
        try:
            return super().main(*arguments, **settings)
        finally:
            discard_unwritten()

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """Parse the options before the command; errors are shown as those of `invoke`."""
        with shown_errors():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; report the user's errors (`shown_errors`)."""
        with shown_errors():
            return super().invoke(ctx)


def _log(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger("hpdsearch").setLevel(logging.INFO)


def _hide_progress(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.obj = True  # contexts of subcommands inherit it


VERBOSITY = (
    click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_log, help="Log to stderr."),
    click.Option(
        ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_hide_progress, help="Hide progress bars."
    ),
)


def add_verbosity(command: click.Command) -> None:
    """Add -v and -q to a command, or to each command of a group, so that they may stand on both sides of its name."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            add_verbosity(child)
    else:
        command.params += VERBOSITY


@click.group(cls=HpdsearchGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="hpdsearch")
def main() -> None:
    """Search your own text by semantic similarity and keywords.

    \b
    Examples:
      hpdsearch index corpus.txt          # index a file, or several, or folders
      hpdsearch query                     # search interactively
      hpdsearch query "fear of spiders"   # search once
    """


main.params += VERBOSITY
for commands in SECTIONS.values():
    for command in commands:
        main.add_command(command)
        add_verbosity(command)
