"""Kinds of click parameters: renamed options, enums, paths, sizes."""

import csv
import os
import re
import sys
from collections.abc import Callable, Mapping
from copy import copy
from decimal import Decimal
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from hpdsearch.errors import CorpusError

Command = TypeVar("Command", bound=Callable[..., Any])
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


def expand_home(path: str) -> str:
    """Return a path whose leading `~` or `~user` is replaced by the home folder.

    A shell does it only at the start of a word: not in `--output=~/x`, and not in quotes. `./~` names a file `~`.
    """
    return os.path.expanduser(path)  # noqa: PTH111  (Path.expanduser raises an error where there is no such user)


class UserPath(click.Path):
    """A path of the command line, in which `~` is expanded."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        return super().convert(expand_home(value), param, ctx)


class OutputPath(UserPath):
    """The path of an output file; `-` is standard output."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if isinstance(value, str) and value.endswith(("/", os.sep)):  # Path would drop the slash and name a file
            self.fail(f"expected a file, got the folder {value}", param, ctx)
        return super().convert(value, param, ctx)


def read_size(text: str) -> int:
    """Return the bytes of a size such as 2G, 500M or 1.5GB, in powers of 1,000."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise click.BadParameter(f"expected a size such as 2G or 500M, got {text!r}")
    size = int(Decimal(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))
    if size > sys.maxsize:
        raise click.BadParameter(f"expected at most {sys.maxsize} bytes, got {text[:80]!r}")
    return size


def read_names(text: str) -> tuple[str, ...]:
    """Return the names of a list such as lang,year; a name that contains a comma is quoted as in CSV."""
    try:
        names = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise click.BadParameter(f"expected names with commas between them, got {text[:80]!r} ({error})") from None
    return tuple(name.strip() for name in names if name.strip())


def read_delimiter(text: str) -> str:
    r"""Return a delimiter; \t, as shells pass it on, is a tab."""
    return "\t" if text == r"\t" else text


def read_encoding(text: str) -> str:
    """Return the name of an encoding of text."""
    from hpdsearch.corpus.encodings import normalize_encoding

    try:
        return normalize_encoding(text)
    except CorpusError as error:
        raise click.BadParameter(str(error)) from None


def apply_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Add options to a command; help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command
