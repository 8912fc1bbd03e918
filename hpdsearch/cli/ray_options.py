"""The options of commands that build or search on a Ray cluster."""

from collections.abc import Callable

import click

from hpdsearch.cli.parameters import Command, apply_options
from hpdsearch.cluster.ray.connection import require_ray


def ray_option(subject: str) -> Callable[[Command], Command]:
    """Return the option --ray; its help begins with `subject`."""
    return click.option(
        "--ray",
        metavar="ADDRESS",
        show_default="no cluster",
        help=f"{subject} ADDRESS is HOST:PORT, auto (the cluster of this machine) or local (a new one on this machine, "
        "which ends with the command).",
    )


def ray_search_options(command: Command) -> Command:
    """Add the options of searches on a cluster; `check_ray_options` checks them."""
    return apply_options(
        command,
        ray_option("Search the shards on a Ray cluster whose nodes all see the folder."),
        click.option(
            "--replicas",
            type=click.IntRange(min=1),
            metavar="R",
            show_default="1",
            help="With --ray: search each shard in R actors.",
        ),
        click.option(
            "--deadline",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            show_default="30",
            help="With --ray: answer after so long without the shards that have not answered.",
        ),
    )


def check_ray_options(ray: str | None, replicas: int | None, deadline: float | None) -> None:
    """Check the options of `ray_search_options`, and that Ray is installed.

    Raises:
        click.UsageError: --replicas or --deadline is given without --ray.
        MissingExtraError: Ray is not installed.
    """
    if ray is not None:
        require_ray()
    elif replicas is not None or deadline is not None:
        raise click.UsageError(f"--{'deadline' if replicas is None else 'replicas'} goes with --ray")
