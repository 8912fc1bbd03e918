"""The command `serve`: search and change indexes over HTTP."""

import os
from pathlib import Path

import click

from hpdsearch.cli.index_argument import INDEXES, find_indexes, find_named_index
from hpdsearch.cli.output import echo
from hpdsearch.cli.parameters import UserPath, expand_home
from hpdsearch.cli.ray_options import check_ray_options, ray_search_options
from hpdsearch.errors import ServeError, require_extra


@click.command()
@click.argument("folders", nargs=-1, metavar="[INDEX]...")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", help="Listen on this address. Others need a token.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    default=8080,
    help="Listen on this port; 0 takes a free one.",
)
@click.option("--token", metavar="TOKEN", help="Answer only requests with this token. Other users may see it in ps.")
@click.option(
    "--token-file",
    type=UserPath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read the token from the first line of this file.",
)
@click.option("--read-only", is_flag=True, help="Refuse changes.")
@ray_search_options
@click.option(
    "--cors",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of this origin, such as https://example.org, use the service. May be given several times.",
)
def serve(
    folders: tuple[str, ...],
    host: str,
    port: int,
    token: str | None,
    token_file: Path | None,
    read_only: bool,
    cors: tuple[str, ...],
    ray: str | None,
    replicas: int | None,
    deadline: float | None,
) -> None:
    """Serve indexes over HTTP, for programs and people.

    Without INDEX, every index under indexes/ is served. The address /docs describes the requests. Ctrl-C and SIGTERM
    let running requests end.

    \b
    Examples:
      hpdsearch serve
      hpdsearch serve news --port 9000 --read-only
      hpdsearch serve news --host 0.0.0.0 --token-file token.txt
      hpdsearch serve /shared/news --ray auto --replicas 2
    """
    check_ray_options(ray, replicas, deadline)
    require_extra("fastapi", "uvicorn", "prometheus_client", extra="serve", feature="serve")

    # Read when faiss is loaded: its idle threads would spin, and take the processor from other searches.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from hpdsearch.serve.server import run
    from hpdsearch.serve.settings import Settings

    if token is not None and token_file is not None:
        raise click.UsageError("expected --token or --token-file, got both")
    if token_file is not None:
        token = read_token(token_file)
    settings = Settings(host=host, token=token, read_only=read_only, cors_origins=cors)
    found = [find_named_index(expand_home(name)) for name in folders] or find_indexes()
    if not found:
        raise ServeError(f"{INDEXES}/: holds no index; make one with: hpdsearch index CORPUS")

    def announce(address: str) -> None:
        echo(f"serving {', '.join(path.name for path in found)} on {address}")

    if ray is None:
        run(found, settings, port, announce)
        return
    from hpdsearch.cluster.ray.ray_index import DEADLINE_SECONDS
    from hpdsearch.cluster.ray.serving import run_on_ray

    seconds = deadline or DEADLINE_SECONDS
    run_on_ray(found, settings, port, announce, address=ray, replicas=replicas or 1, deadline=seconds)


def read_token(path: Path) -> str:
    """Return the first line of a file.

    Raises:
        ServeError: it is empty or not ASCII.
    """
    line = path.read_bytes().partition(b"\n")[0].strip()
    if not line or not line.isascii():
        raise ServeError(f"{path}: expected a token of ASCII characters in the first line")
    return line.decode("ascii")
