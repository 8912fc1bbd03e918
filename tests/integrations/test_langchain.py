"""The LangChain adapters pass the conformance tests of langchain-tests."""

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langchain_tests")

from langchain_core.documents import Document as LangChainDocument
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from hpdsearch import Document, Index
from hpdsearch.integrations.langchain import HpdsearchRetriever, HpdsearchVectorStore

TEXTS = [("a", "fear of spiders", 2020), ("b", "great happiness", 2021), ("c", "joy", 2022), ("d", "fear", 2023)]
DOCUMENTS = [Document(doc_id, text, metadata={"year": year}) for doc_id, text, year in TEXTS]


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path, tiny_folder):
        return HpdsearchVectorStore(tmp_path / "index", encoder=tiny_folder)


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def build(self, tmp_path, tiny_encoder):
        with Index.build(tmp_path / "index", DOCUMENTS, encoder=tiny_encoder) as index:
            self.index = index
            yield

    @property
    def retriever_constructor(self):
        return HpdsearchRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index}

    @property
    def retriever_query_example(self):
        return "fear"


def test_hits_are_those_of_the_index(tmp_path, tiny_folder):
    texts = [text for _, text, _ in TEXTS]
    store = HpdsearchVectorStore.from_texts(
        texts,
        metadatas=[{"year": year} for *_, year in TEXTS],
        ids=[doc_id for doc_id, *_ in TEXTS],
        folder=tmp_path / "index",
        encoder=tiny_folder,
    )
    expected = store.index.search("fear", 2, where="year > 2020")
    found = store.similarity_search_with_score("fear", 2, where="year > 2020")
    assert [(document.id, document.page_content, score) for document, score in found] == [
        (hit.doc_id, hit.text, hit.score) for hit in expected
    ]
    assert isinstance(found[0][0], LangChainDocument)
    again = HpdsearchVectorStore(tmp_path / "index")
    assert [each.id for each in again.similarity_search("fear", 4)] == [
        hit.doc_id for hit in store.index.search("fear", 4)
    ]


def test_a_document_names_the_place_that_was_found(tmp_path, tiny_encoder):
    named = Document("c", "happiness", metadata={"location": "Berlin"}, locations=((0, "page 4"),))
    documents = [Document("a", "joy", locations=((0, "page 3"),)), Document("b", "fear"), named]
    with Index.build(tmp_path / "index", documents, encoder=tiny_encoder) as index:
        found = {each.id: each.metadata for each in HpdsearchRetriever(index=index).invoke("joy")}
    assert found["a"]["location"] == "page 3"
    assert "location" not in found["b"]
    assert found["c"]["location"] == "Berlin"  # the document's own field
    (document,) = HpdsearchVectorStore(tmp_path / "index", mode="lexical").similarity_search("joy", 1)
    assert document.metadata == {"location": "page 3"}
