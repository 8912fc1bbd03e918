"""The command `mcp`: a server for assistants."""

from pathlib import Path

import click

from hpdsearch.cli.index_argument import INDEXES, find_indexes, find_named_index
from hpdsearch.cli.output import echo
from hpdsearch.cli.parameters import expand_home
from hpdsearch.errors import IndexFolderError, require_extra


@click.command()
@click.argument("index", nargs=-1)
@click.option("--http", is_flag=True, help="Serve streamable HTTP on this machine instead of stdin and stdout.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="PORT", default=8765, help="Port of --http.")
def mcp(index: tuple[str, ...], http: bool, port: int) -> None:
    """Let an assistant search indexes (MCP).

    MCP is the Model Context Protocol. Without INDEX the assistant gets every index under indexes/. The tools are
    search, get_document and list_indexes; none of them changes anything.

    \b
    Examples:
      hpdsearch mcp indexes/news
      hpdsearch mcp --http --port 8765
    """
    require_extra("mcp", extra="mcp", feature="mcp")
    from hpdsearch.serve.mcp import make_server

    folders = [find_named_index(expand_home(name)) for name in index] if index else find_indexes()
    if not folders:
        raise IndexFolderError(f"{INDEXES}/: holds no index; make one with: hpdsearch index CORPUS, or name one")
    server = make_server([Path(folder) for folder in folders])
    if http:
        echo(f"MCP server: http://127.0.0.1:{port}/mcp", err=True)
        server.run("streamable-http", host="127.0.0.1", port=port)
    else:
        server.run("stdio")
