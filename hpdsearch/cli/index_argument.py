"""INDEX of a command line: an argument or the option -i, and the folder that it names."""

from collections.abc import Callable
from pathlib import Path

import click

from hpdsearch.cli.output import echo
from hpdsearch.cli.parameters import Command, apply_options, expand_home
from hpdsearch.errors import IndexFolderError

INDEXES = Path("indexes")


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


wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=0,
    help="Wait for at most so many seconds while another process writes to the index.",
)


def find_index(option: str | None, argument: str | None = None) -> Path:
    """Return the folder of the index: a path, a name under indexes/, or the only index there.

    A folder that is no index does not hide the index of its name under indexes/.

    Args:
        option: value of -i.
        argument: value of the argument INDEX.

    Raises:
        click.UsageError: both are given.
        IndexFolderError: no index has this name; neither is given, and indexes/ does not hold exactly one index.
    """
    if option is not None and argument is not None:
        raise click.UsageError(f"expected one INDEX, got {argument} and -i {option}")
    if (name := option if argument is None else argument) is not None:
        return find_named_index(expand_home(name))
    found = find_indexes()
    if not found:
        raise IndexFolderError(
            f"{INDEXES}/: holds no index; make one with: hpdsearch index CORPUS, or name one with -i INDEX"
        )
    if len(found) > 1:
        raise IndexFolderError(f"{INDEXES}/: holds several indexes; choose one with -i: {', '.join(map(str, found))}")
    return found[0]


def find_named_index(name: str) -> Path:
    """Return the index folder that a name stands for: the path itself, or the folder of this name under indexes/.

    Raises:
        IndexFolderError: neither is an index.
    """
    paths = [Path(name)]
    if not name.startswith(".") and not paths[0].is_absolute():
        paths.append(INDEXES / name)
    found = [path for path in paths if is_index(path)]
    if not found:
        looked = "; ".join(f"{path}: {describe_missing(path)}" for path in paths)
        raise IndexFolderError(f"{looked}; make one with: hpdsearch index CORPUS, or name another{list_indexes()}")
    if len(found) == 2 and not found[0].samefile(found[1]):
        echo(f"{found[0]} and {found[1]} are both indexes; this command uses ./{found[0]}", err=True)
    return found[0]


def is_index(folder: Path) -> bool:
    """Return whether a folder has the file that makes it an index, and this user may see it."""
    from hpdsearch.catalog import holds_index

    try:
        return holds_index(folder)
    except PermissionError:
        return False


def describe_missing(path: Path) -> str:
    """Say, for a message, why a path is no index folder."""
    from hpdsearch.catalog import FILE_NAME

    try:
        (path / FILE_NAME).exists()
    except PermissionError as error:
        return f"cannot be opened ({error.strerror})"
    if path.is_dir():
        return f"this is not an hpdsearch index (it holds no {FILE_NAME})"
    return "this is a file, not an index folder" if path.exists() else "there is no such folder"


def find_indexes() -> list[Path]:
    """Return the indexes under indexes/ by name.

    Raises:
        PermissionError: this user may not list the folder.
    """
    return sorted(filter(is_index, INDEXES.iterdir())) if INDEXES.is_dir() else []


def list_indexes() -> str:
    """List, for a message, the indexes under indexes/, if this user may see them."""
    try:
        names = [path.name for path in find_indexes()]
    except PermissionError:
        return ""
    return f" ({INDEXES}/ holds {', '.join(names)})" if names else ""


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
