"""The LlamaIndex adapters keep nodes, ids, metadata and relations, and translate filters."""

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.schema import NodeRelationship, QueryBundle, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from hpdsearch import Document, Index
from hpdsearch.errors import QueryError
from hpdsearch.integrations.llamaindex import HpdsearchRetriever, HpdsearchVectorStore


def make_node(node_id, text, parent, **metadata):
    related = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=parent)}
    return TextNode(id_=node_id, text=text, metadata=metadata, relationships=related)


NODES = [
    make_node("a", "fear of spiders", "first", year=2020, tags=["x", "y"]),
    make_node("b", "great happiness", "first", year=2021, lang="it's"),
    make_node("c", "joy", "second", year=2022),
]


@pytest.fixture
def store(tmp_path, tiny_folder):
    store = HpdsearchVectorStore(tmp_path / "index", encoder=tiny_folder)
    assert store.query(VectorStoreQuery(query_str="joy")).ids == []
    assert store.add(NODES) == ["a", "b", "c"]
    return store


def test_nodes_come_back_as_they_were_added(store):
    result = store.query(VectorStoreQuery(query_str="fear", similarity_top_k=3))
    expected = store.client.search("fear", 3)
    assert result.ids == [hit.doc_id for hit in expected]
    assert result.similarities == [hit.score for hit in expected]
    by_id = {node.node_id: node for node in result.nodes}
    for node in NODES:
        found = by_id[node.node_id]
        assert (found.text, found.metadata, found.ref_doc_id) == (node.text, node.metadata, node.ref_doc_id)


FILTERS = {
    "a": [MetadataFilter(key="year", value=2020)],
    "bc": [MetadataFilter(key="year", value=2020, operator=FilterOperator.GT)],
    "b": [MetadataFilter(key="lang", value="it's")],
    "ac": [MetadataFilter(key="year", value=[2020, 2022], operator=FilterOperator.IN)],
    "": [MetadataFilter(key="year", value=[2020, 2021, 2022], operator=FilterOperator.NIN)],
}


@pytest.mark.parametrize("ids", FILTERS)
def test_filters_select_what_they_say(store, ids):
    filters = MetadataFilters(filters=FILTERS[ids])
    assert "".join(node.node_id for node in store.get_nodes(filters=filters)) == ids
    query = VectorStoreQuery(query_str="joy", similarity_top_k=5, filters=filters)
    assert "".join(sorted(store.query(query).ids)) == ids
    other = MetadataFilters(filters=FILTERS[ids], condition=FilterCondition.NOT)
    assert "".join(node.node_id for node in store.get_nodes(filters=other)) == "".join(sorted({*"abc"} - {*ids}))


def test_a_node_names_the_place_that_was_found(tmp_path, tiny_encoder):
    named = Document("c", "happiness", metadata={"location": "Berlin"}, locations=((0, "page 4"),))
    documents = [Document("a", "joy", locations=((0, "page 3"),)), Document("b", "fear"), named]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        found = {each.node.node_id: each.node.metadata for each in HpdsearchRetriever(index).retrieve("joy")}
    assert found == {"a": {"location": "page 3"}, "b": {}, "c": {"location": "Berlin"}}


def test_the_nodes_of_a_document_are_deleted(store):
    store.delete("first")
    assert [node.node_id for node in store.get_nodes(["a", "b", "c"])] == ["c"]
    store.delete_nodes(["c", "x"])
    assert store.get_nodes(["c"]) == []


def test_what_hpdsearch_lacks_is_an_error(store):
    with pytest.raises(QueryError, match="expected query_str"):
        store.query(VectorStoreQuery(query_embedding=[1.0]))
    with pytest.raises(QueryError, match="got mmr"):
        store.query(VectorStoreQuery(query_str="joy", mode=VectorStoreQueryMode.MMR))


def test_the_retriever_returns_the_hits_of_the_index(store):
    found = HpdsearchRetriever(store.client, k=2).retrieve(QueryBundle("fear"))
    assert [(node.node_id, node.score) for node in found] == [
        (hit.doc_id, hit.score) for hit in store.client.search("fear", 2)
    ]
