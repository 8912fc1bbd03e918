"""The MCP server: an assistant searches indexes through the Model Context Protocol (extra `mcp`).

`hpdsearch mcp` runs it; `make_server` makes the server with its tools, which only read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hpdsearch import __version__
from hpdsearch.errors import HpdsearchError, IndexFolderError, require_extra
from hpdsearch.index import Index

require_extra("mcp", extra="mcp", feature="mcp")

from mcp.server.mcpserver import MCPServer  # noqa: E402
from mcp.server.mcpserver.exceptions import ToolError  # noqa: E402
from mcp.types import ToolAnnotations  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

MAX_HITS = 50
MAX_TEXT = 100_000  # characters of a document that are returned
MAX_QUERY = 8192  # characters

INSTRUCTIONS = (
    "Search collections of documents by dense vectors and by BM25. Call list_indexes first if you do not know the "
    "indexes, then search, and get_document for the full text of a hit."
)


class FoundDocument(BaseModel):
    """A hit of a search."""

    doc_id: str = Field(description="Pass it to get_document.")
    score: float = Field(description="Higher is better.")
    title: str
    location: str = Field("", description="The place of the passage in the document, such as page 3.")
    passage: str = Field(description="The part of the document that fits best.")
    metadata: dict[str, Any]


class SearchResult(BaseModel):
    """The hits of a search, best first."""

    index: str
    hits: list[FoundDocument]


class FullDocument(BaseModel):
    """A document of an index."""

    doc_id: str
    title: str
    text: str
    metadata: dict[str, Any]
    n_characters: int = Field(description="Length of the document; text holds at most 100,000 of them from `start` on.")


class DescribedIndex(BaseModel):
    """An index that can be searched."""

    name: str
    n_documents: int
    fields: list[str] = Field(description="Metadata fields that a filter may name.")


class IndexList(BaseModel):
    """The indexes of the server."""

    indexes: list[DescribedIndex]


class OpenIndexes:
    """The indexes of the server by name; each answers with its last commit."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Open the indexes.

        Raises:
            IndexFolderError: there is none, one cannot be opened, or two have one name.
        """
        if not folders:
            raise IndexFolderError("expected at least one index folder, got none")
        self._by_name: dict[str, Index] = {}
        for folder in folders:
            name = folder.resolve().name
            if name in self._by_name:
                raise IndexFolderError(f"{folder}: another index has the name {name!r} too; rename one of the folders")
            self._by_name[name] = Index.open(folder)

    @property
    def names(self) -> list[str]:
        """The names of the indexes."""
        return list(self._by_name)

    def find(self, name: str | None) -> tuple[str, Index]:
        """Return an index and its name; no name stands for the only index.

        Raises:
            IndexFolderError: there is no such index, or the name is missing.
        """
        if name is None and len(self._by_name) == 1:
            name = self.names[0]
        if name not in self._by_name:
            raise IndexFolderError(f"index: expected one of {', '.join(self.names)}, got {name!r:.200}")
        index = self._by_name[name]
        index.refresh()
        return name, index


def make_server(folders: Sequence[Path]) -> MCPServer:
    """Return an MCP server with the tools search, get_document and list_indexes.

    Args:
        folders: index folders; an index has the name of its folder.

    Raises:
        IndexFolderError: an index cannot be opened.
    """
    indexes = OpenIndexes(folders)
    server = MCPServer("hpdsearch", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    @server.tool(annotations=reads)
    def search(
        query: str = Field(description="The query, in natural language.", max_length=MAX_QUERY),
        index: str | None = Field(None, description="Name of the index; may be left out if there is only one."),
        k: int = Field(10, ge=1, le=MAX_HITS, description="Number of hits."),
        where: str | None = Field(
            None, max_length=MAX_QUERY, description='Filter on metadata: year >= 2020 and lang = "en".'
        ),
        mode: Literal["hybrid", "dense", "lexical"] = Field(
            "hybrid", description="dense: by the cosine of embeddings; lexical: by BM25; hybrid: by both."
        ),
    ) -> SearchResult:
        """Search an index and return the passages that fit best."""
        try:
            name, opened = indexes.find(index)
            hits = opened.search(query, k, where=where, mode=mode)
        except HpdsearchError as error:
            raise ToolError(str(error)) from error
        found = [
            FoundDocument(
                doc_id=hit.doc_id,
                score=hit.score,
                title=hit.title,
                location=hit.location,
                passage=hit.passage,
                metadata=dict(hit.metadata),
            )
            for hit in hits
        ]
        return SearchResult(index=name, hits=found)

    @server.tool(annotations=reads)
    def get_document(
        doc_id: str = Field(description="The doc_id of a hit."),
        index: str | None = Field(None, description="Name of the index; may be left out if there is only one."),
        start: int = Field(0, ge=0, description="First character to return, for documents of more than 100,000."),
    ) -> FullDocument:
        """Return the full text of a document."""
        try:
            name, opened = indexes.find(index)
            document = opened.get(doc_id)
        except HpdsearchError as error:
            raise ToolError(str(error)) from error
        if document is None:
            raise ToolError(f"{name}: holds no document {doc_id!r:.200}")
        return FullDocument(
            doc_id=document.doc_id,
            title=document.title,
            text=document.text[start : start + MAX_TEXT],
            metadata=dict(document.metadata),
            n_characters=len(document.text),
        )

    @server.tool(annotations=reads)
    def list_indexes() -> IndexList:
        """List the indexes with their sizes and metadata fields."""
        try:
            infos = [(name, indexes.find(name)[1].info()) for name in indexes.names]
        except HpdsearchError as error:
            raise ToolError(str(error)) from error
        return IndexList(
            indexes=[
                DescribedIndex(name=name, n_documents=info.n_documents, fields=list(info.fields))
                for name, info in infos
            ]
        )

    return server
