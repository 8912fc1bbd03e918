"""The options of commands that build or search on a Ray cluster."""

from collections.abc import Callable

import click

from hpdsearch.cli.parameters import Command


def ray_option(subject: str) -> Callable[[Command], Command]:
    """Return the option --ray; its help begins with `subject`."""
    return click.option(
        "--ray",
        metavar="ADDRESS",
        show_default="no cluster",
        help=f"{subject} ADDRESS is HOST:PORT, auto (the cluster of this machine) or local (a new one on this machine, "
        "which ends with the command).",
    )
