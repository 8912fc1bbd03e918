"""LlamaIndex: an index as a vector store and as a retriever (extra `llamaindex`).

hpdsearch encodes texts itself, so vectors of an embedding model of LlamaIndex are not stored; `MockEmbedding(1)` is
enough where LlamaIndex insists on a model.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpdsearch.encoder import DEFAULT_ENCODER
from hpdsearch.errors import FilterError, QueryError, require_extra
from hpdsearch.integrations.changing_index import ChangingIndex
from hpdsearch.records import Document, Hit

require_extra("llama_index", extra="llamaindex", feature="hpdsearch.integrations.llamaindex")

from llama_index.core.base.base_retriever import BaseRetriever  # noqa: E402
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle, TextNode  # noqa: E402
from llama_index.core.vector_stores.types import (  # noqa: E402
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict  # noqa: E402

_MODES = {
    VectorStoreQueryMode.DEFAULT: "hybrid",
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SEMANTIC_HYBRID: "hybrid",
    VectorStoreQueryMode.TEXT_SEARCH: "lexical",
    VectorStoreQueryMode.SPARSE: "lexical",
}
_COMPARISONS = {
    FilterOperator.EQ: "=",
    FilterOperator.NE: "!=",
    FilterOperator.GT: ">",
    FilterOperator.LT: "<",
    FilterOperator.GTE: ">=",
    FilterOperator.LTE: "<=",
    FilterOperator.TEXT_MATCH: "contains",
}


class HpdsearchRetriever(BaseRetriever):
    """Retrieves the documents of an index as nodes; a node's text is the whole text, or the passage that was found."""

    def __init__(
        self, index: Any, *, k: int = 10, mode: str = "hybrid", where: str | None = None, passages: bool = False
    ) -> None:
        """Take an open index; the other arguments are as in `Index.search`."""
        super().__init__()
        self._index = index
        self._k = k
        self._mode = mode
        self._where = where
        self._passages = passages

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._index.search(query_bundle.query_str, self._k, mode=self._mode, where=self._where)
        return [NodeWithScore(node=_to_node(hit, passage=self._passages), score=hit.score) for hit in hits]


class HpdsearchVectorStore(BasePydanticVectorStore):
    """An index folder as a vector store; the first nodes that are added create it.

    Attributes:
        folder: an index folder, or a new or empty one.
        encoder: of a new index.
    """

    stores_text: bool = True
    is_embedding_query: bool = False
    folder: str
    encoder: str = DEFAULT_ENCODER
    _store: ChangingIndex

    def __init__(self, folder: str | Path, encoder: str | Path = DEFAULT_ENCODER, **settings: Any) -> None:
        """Open the index of a folder, or name the folder of a new one."""
        super().__init__(folder=str(folder), encoder=str(encoder), **settings)
        self._store = ChangingIndex(Path(folder), encoder)

    @property
    def client(self) -> Any:
        """The open index; None: nothing was added yet."""
        return self._store.index

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex stores it."""
        return "HpdsearchVectorStore"

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Add nodes and return their ids; a node with the id of a stored one replaces it."""
        self._store.add(
            [
                Document(
                    node.node_id,
                    node.get_content(metadata_mode=MetadataMode.NONE),
                    metadata=node_to_metadata_dict(node, remove_text=True),
                )
                for node in nodes
            ]
        )
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete the nodes of a document."""
        self._store.delete_where(f"ref_doc_id = {_quote(ref_doc_id)}")

    def delete_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **_: Any) -> None:
        """Delete the nodes with these ids, or that match the filters."""
        self._store.delete(node_ids or [])
        if filters is not None:
            self._store.delete_where(to_where(filters))

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Return the stored nodes with these ids, or that match the filters."""
        ids = list(node_ids or [])
        if filters is not None:
            ids += self._store.find(to_where(filters))
        return [_document_to_node(document) for document in self._store.get(ids)]

    def query(self, query: VectorStoreQuery, **_: Any) -> VectorStoreQueryResult:
        """Search with the text of a query.

        Raises:
            QueryError: the query has no text, or a mode that hpdsearch lacks.
        """
        if query.query_str is None:
            raise QueryError("query: expected query_str, got a vector only; hpdsearch encodes the text of the query")
        if query.mode not in _MODES:
            raise QueryError(
                f"mode: expected one of {', '.join(mode.value for mode in _MODES)}, got {query.mode.value}"
            )
        conditions = [] if query.filters is None else [to_where(query.filters)]
        conditions += [_one_of("id", query.node_ids)] if query.node_ids else []
        conditions += [_one_of("ref_doc_id", query.doc_ids)] if query.doc_ids else []
        where = " and ".join(f"({condition})" for condition in conditions) or None
        hits = self._store.search(query.query_str, query.similarity_top_k, mode=_MODES[query.mode], where=where)
        return VectorStoreQueryResult(
            nodes=[_to_node(hit) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.doc_id for hit in hits],
        )


def to_where(filters: MetadataFilters) -> str:
    """Return LlamaIndex's filters as a filter of hpdsearch (docs/filters.md).

    Raises:
        FilterError: hpdsearch has no such operator.
    """
    parts = [to_where(each) if isinstance(each, MetadataFilters) else _compare(each) for each in filters.filters]
    if filters.condition is FilterCondition.NOT:
        return " and ".join(f"not ({part})" for part in parts)
    return f" {filters.condition.value if filters.condition else 'and'} ".join(f"({part})" for part in parts)


def _compare(condition: MetadataFilter) -> str:
    field = "`" + condition.key.replace("`", "``") + "`"
    if condition.operator in (FilterOperator.IN, FilterOperator.NIN) and isinstance(condition.value, list):
        inside = _one_of(field, condition.value)
        return inside if condition.operator is FilterOperator.IN else f"not ({inside})"
    if condition.operator is FilterOperator.CONTAINS:
        return f"{field} = {_quote(condition.value)}"
    if condition.operator not in _COMPARISONS:
        raise FilterError(f"filters: expected an operator that hpdsearch has, got {condition.operator.value!r}")
    return f"{field} {_COMPARISONS[condition.operator]} {_quote(condition.value)}"


def _one_of(field: str, values: Sequence[Any]) -> str:
    return " or ".join(f"{field} = {_quote(value)}" for value in values)


def _quote(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return json.dumps(value)


def _to_node(hit: Hit, *, passage: bool = False) -> BaseNode:
    text = hit.passage if passage else hit.text
    node = _document_to_node(Document(hit.doc_id, text, metadata=hit.metadata))
    if hit.location:
        node.metadata.setdefault("location", hit.location)
    return node


def _document_to_node(document: Document) -> BaseNode:
    """Return the node that was stored, or a new one for a document that another program has added."""
    metadata = dict(document.metadata)
    if "_node_content" in metadata:
        node: BaseNode = metadata_dict_to_node(metadata, text=document.text)
        return node
    return TextNode(id_=document.doc_id, text=document.text, metadata=metadata)
