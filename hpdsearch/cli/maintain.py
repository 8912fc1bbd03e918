"""Commands that rebuild or check the files of an index: reindex, compact, verify."""

from typing import Any

import click

from hpdsearch.cli.info import print_index
from hpdsearch.cli.options import bars, bytes_text, find_index, spec_of, spec_options
from hpdsearch.errors import IndexFolderError


@click.command()
@click.argument("folder", required=False)
@spec_options
@click.option(
    "--dim", type=click.IntRange(min=1), help="Leading numbers of each vector that codes are made of.  [default: all]"
)
def tune(folder: str | None, dim: int | None, **options: Any) -> None:
    """Make another index of the stored vectors, without encoding anything again.

    The old one answers until the new one is in force. Codes of fewer numbers (--dim) take less memory; hits are scored
    with the whole vectors all the same.

    \b
    hpdsearch tune indexes/news --recall 0.99
    hpdsearch tune indexes/news --memory 100M
    hpdsearch tune indexes/news --kind ivf --codec pq --dim 64
    """
    from hpdsearch.index import Index

    with Index.open(find_index(folder)) as opened:
        try:
            opened.tune(spec_of(options, dim=dim), progress=bars())
        except KeyboardInterrupt:
            raise click.ClickException(f"{opened.folder}: stopped; the index is as it was") from None
        click.echo(f"{opened.folder}: tuned")
        print_index(opened.info())


@click.command()
@click.argument("folder", required=False)
def compact(folder: str | None) -> None:
    """Merge the segments of an index and take deleted documents off the disk.

    \b
    hpdsearch compact indexes/news
    """
    from hpdsearch.index import Index

    path = find_index(folder)
    with Index.open(path) as opened:
        before = opened.info()
        try:
            opened.compact(progress=bars())
        except KeyboardInterrupt:
            raise click.ClickException(f"{path}: stopped; no document is lost") from None
    with Index.open(path) as opened:  # SQLite has brought its log into its file when the first one was closed
        after = opened.info()
    n_deleted = before.n_deleted - after.n_deleted
    sizes = [bytes_text(sum(described.disk_bytes.values())) for described in (before, after)]
    click.echo(f"{path}: {n_deleted:,} deleted passages left the disk, {sizes[0]} became {sizes[1]}")
    print_index(after)


@click.command()
@click.argument("folder", required=False)
def verify(folder: str | None) -> None:
    """Read an index back against its checksums; exit code 1 if anything is not as it was written.

    \b
    hpdsearch verify indexes/news
    """
    from hpdsearch.index.verify import find_problems

    path = find_index(folder)
    problems = find_problems(path)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise IndexFolderError(
            f"{path}: {len(problems)} problems; restore the files from a copy, or index again into another folder"
        )
    click.echo(f"{path}: whole")
