"""Commands that rebuild or check the files of an index: reindex, compact, verify."""

from typing import Any

import click

from hpdsearch.cli.index_argument import find_index, index_parameters, wait_option
from hpdsearch.cli.info import print_segments
from hpdsearch.cli.options import spec_options, take_spec
from hpdsearch.cli.output import echo, format_bytes, format_count, make_progress
from hpdsearch.errors import IndexFolderError


@click.command()
@index_parameters
@spec_options
@click.option(
    "--dim",
    type=click.IntRange(min=1),
    metavar="DIM",
    show_default="all",
    help="Make codes of the first DIM dimensions. Hits are scored with all dimensions.",
)
@wait_option
def reindex(index_argument: str | None, index_option: str | None, dim: int | None, wait: float, **options: Any) -> None:
    """Rebuild the vector index from the stored vectors.

    Nothing is encoded again. The old vector index stays searchable until the new one is done.

    \b
    Examples:
      hpdsearch reindex indexes/news --ann-recall 0.99
      hpdsearch reindex indexes/news --memory 100M
      hpdsearch reindex indexes/news --index-type ivf --codec pq --dim 64
    """
    from hpdsearch.index import Index

    with Index.open(find_index(index_option, index_argument), wait=wait) as opened:
        try:
            opened.reindex(take_spec(options, dim=dim), progress=make_progress())
        except KeyboardInterrupt:
            raise click.ClickException(f"{opened.folder}: stopped; the index is unchanged") from None
        echo(f"{opened.folder}: reindexed")
        print_segments(opened.info())


@click.command()
@index_parameters
@wait_option
def compact(index_argument: str | None, index_option: str | None, wait: float) -> None:
    """Merge segments and remove deleted documents from disk.

    \b
    Examples:
      hpdsearch compact indexes/news
    """
    from hpdsearch.index import Index

    folder = find_index(index_option, index_argument)
    with Index.open(folder, wait=wait) as opened:
        before = opened.info()
        try:
            opened.compact(progress=make_progress())
        except KeyboardInterrupt:
            raise click.ClickException(f"{folder}: stopped; no document is lost") from None
    with Index.open(folder) as opened:  # closing made SQLite move its log into the database, so sizes are final now
        after = opened.info()
    n_removed = before.n_deleted - after.n_deleted
    old_size, new_size = (format_bytes(sum(info.disk_bytes.values())) for info in (before, after))
    echo(f"{folder}: {format_count(n_removed, 'deleted passage')} removed, {old_size} before, {new_size} after")
    print_segments(after)


@click.command()
@index_parameters
def verify(index_argument: str | None, index_option: str | None) -> None:
    """Check every file of an index against its checksums.

    The command prints one line per problem. If there is any, the exit code is 1.

    \b
    Examples:
      hpdsearch verify indexes/news
    """
    from hpdsearch.index.verify import find_problems

    folder = find_index(index_option, index_argument)
    problems = find_problems(folder)
    for problem in problems:
        echo(problem)
    if problems:
        raise IndexFolderError(
            f"{folder}: is not intact (problems: {len(problems)}); restore the files from a copy, or index again into "
            "another folder"
        )
    echo(f"{folder}: intact")
