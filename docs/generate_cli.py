"""Write docs/cli.md, the reference of the command line, from the commands themselves.

python docs/generate_cli.py           write the page
python docs/generate_cli.py --check   exit with 1 if the page is not up to date
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from hpdsearch.cli import SECTIONS, main
from hpdsearch.cli.repl import HELP

PAGE = Path(__file__).parent / "cli.md"
HEAD = """\
# Command line

<!-- Written by docs/generate_cli.py. Do not edit. -->

Every command has `--help`. Results go to stdout, progress and errors to stderr. The exit code is 0 after success, 1
after an error, and 2 after a wrong use of arguments and options.

Commands that open an index take `-i INDEX`. INDEX is a folder or the name of a folder under `indexes/`. All of these
commands except `query` also take INDEX as their first argument. Where no INDEX is required and none is given, a command
uses the only index under `indexes/`.
"""


def render_page() -> str:
    """Return the page in Markdown."""
    overview = [
        f"\n{title}:\n\n" + "\n".join(f"- [`{c.name}`](#hpdsearch-{c.name}): {describe(c)[0]}" for c in commands)
        for title, commands in SECTIONS.items()
    ]
    root = click.Context(main, info_name="hpdsearch", **main.context_settings)
    parts = [render_command(context) for context in list_contexts(root)]
    session = f"## Interactive session\n\n`hpdsearch query` without TEXT starts a session:\n\n```text\n{HELP}\n```"
    return "\n".join([HEAD.rstrip(), *overview, "", "\n\n".join([*parts, session]), ""])


def list_contexts(root: click.Context) -> Iterator[click.Context]:
    """Yield the contexts of the program, its commands in the order of help, and their subcommands."""
    yield root
    if isinstance(root.command, click.Group):
        for name, command in root.command.commands.items():
            yield from list_contexts(click.Context(command, info_name=name, parent=root))


def render_command(context: click.Context) -> str:
    """Return the section of one command: usage, description, examples, options."""
    paragraphs = describe(context.command)
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
    level = "##" if context.parent is None or context.parent.parent is None else "###"
    options = [
        f"- `{record[0]}`: {format_meaning(record[1])}"
        for option in context.command.get_params(context)
        if isinstance(option, click.Option)
        and "--help" not in option.opts
        and (record := option.get_help_record(context))
    ]
    return "\n\n".join(
        [f"{level} {context.command_path}", f"```text\n{usage}\n```", *paragraphs, "\n".join(options)]
    ).rstrip()


def describe(command: click.Command) -> list[str]:
    """Return the paragraphs of a command's help, the examples as a code block."""
    paragraphs = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            example = inspect.cleandoc(paragraph.removeprefix("\b\n").removeprefix("Examples:\n"))
            paragraphs.append(f"```sh\n{example}\n```")
        else:
            paragraphs.append(quote_options(re.sub(r"\s+", " ", paragraph)))
    return paragraphs


def format_meaning(text: str) -> str:
    """Return the help of an option, in which `[default: (all); x>=1]` becomes sentences."""
    meaning, *notes = re.split(r"  \[", quote_options(text))
    for note in "; ".join(notes).replace("]", "").split("; ") if notes else ():
        name, colon, value = note.partition(": ")
        value = re.sub(r"^\((.*)\)$", r"\1", value)
        meaning += f" {name.capitalize()}: {value}." if colon else f" Range: `{note}`." if "x" in note else " Required."
    return meaning


def quote_options(text: str) -> str:
    """Return text in which the names of options stand in backquotes."""
    return re.sub(r"`[^`]*`|(?<![\w-])--?[a-z][\w-]*", lambda found: f"`{found[0].strip('`')}`", text)


if __name__ == "__main__":
    page = render_page()
    if "--check" in sys.argv[1:]:
        sys.exit(PAGE.read_text(encoding="utf-8") != page)
    PAGE.write_text(page, encoding="utf-8")
