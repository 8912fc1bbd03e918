"""LangChain: an index as a VectorStore and as a Retriever (extra `langchain`).

Documents keep their id and metadata. hpdsearch encodes texts itself, so no embedding model of LangChain is needed.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from hpdsearch.dense import IndexSpec
from hpdsearch.encoder import DEFAULT_ENCODER
from hpdsearch.errors import require_extra
from hpdsearch.index import Index
from hpdsearch.integrations.changing_index import ChangingIndex
from hpdsearch.records import Document, Hit

require_extra("langchain_core", extra="langchain", feature="hpdsearch.integrations.langchain")

from langchain_core.callbacks import CallbackManagerForRetrieverRun  # noqa: E402
from langchain_core.documents import Document as LangChainDocument  # noqa: E402
from langchain_core.embeddings import Embeddings  # noqa: E402
from langchain_core.retrievers import BaseRetriever  # noqa: E402
from langchain_core.vectorstores import VectorStore  # noqa: E402


class HpdsearchRetriever(BaseRetriever):
    """Retrieves the documents of an index.

    Attributes:
        index: an open index.
        k: documents for each query.
        mode: "hybrid", "dense" or "lexical".
        where: a filter (docs/filters.md); None: none.
        passages: return the passage that was found instead of the whole text.
    """

    index: Any
    k: int = 10
    mode: str = "hybrid"
    where: str | None = None
    passages: bool = False

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **_: Any
    ) -> list[LangChainDocument]:
        hits = self.index.search(query, k or self.k, mode=self.mode, where=self.where)
        return [_to_langchain(hit, passages=self.passages, with_score=True) for hit in hits]


class HpdsearchVectorStore(VectorStore):
    """An index folder as a vector store; the first documents that are added create it.

    Scores are cosines in mode dense, and higher is better in each mode.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        encoder: str | Path = DEFAULT_ENCODER,
        mode: str = "hybrid",
        spec: IndexSpec | None = None,
    ) -> None:
        """Open the index of a folder, or name the folder of a new one.

        Args:
            folder: an index folder, or a new or empty one.
            encoder: of a new index.
            mode: how searches rank, unless they say it.
            spec: of a new index.
        """
        self._store = ChangingIndex(Path(folder), encoder, spec)
        self._mode = mode

    @property
    def index(self) -> Index | None:
        """The open index; None: nothing was added yet."""
        return self._store.index

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **_: Any,
    ) -> list[str]:
        """Add texts and return their ids; a text with the id of a stored one replaces it."""
        given = list(texts)
        doc_ids = [doc_id or str(uuid4()) for doc_id in ids or [""] * len(given)]
        rows = zip(doc_ids, given, metadatas or [{}] * len(given), strict=True)
        self._store.add([Document(doc_id, text, metadata=metadata or {}) for doc_id, text, metadata in rows])
        return doc_ids

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool | None:
        """Delete documents; ids that are not stored are passed over. None deletes nothing."""
        self._store.delete(ids or [])
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """Return the stored documents among these ids, in their order."""
        return [
            LangChainDocument(id=each.doc_id, page_content=each.text, metadata=dict(each.metadata))
            for each in self._store.get(ids)
        ]

    def similarity_search(self, query: str, k: int = 4, **search: Any) -> list[LangChainDocument]:
        """Return the k best documents; `where` and `mode` are passed on to the search."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **search)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **search: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """Return the k best documents and their scores, best first."""
        search.setdefault("mode", self._mode)
        return [(_to_langchain(hit), hit.score) for hit in self._store.search(query, k, **search)]

    def _select_relevance_score_fn(self) -> Any:
        return lambda score: min(max(score, 0.0), 1.0)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        folder: str | Path | None = None,
        **settings: Any,
    ) -> "HpdsearchVectorStore":
        """Make a store of texts in `folder`; `embedding` is not used, since hpdsearch encodes."""
        if folder is None:
            raise TypeError("expected folder=..., the folder of the index")
        store = cls(folder, **settings)
        store.add_texts(texts, metadatas, ids=ids)
        return store


def _to_langchain(hit: Hit, *, passages: bool = False, with_score: bool = False) -> LangChainDocument:
    place = {"location": hit.location} if hit.location else {}  # unless the document has a field of this name
    score = {"score": hit.score} if with_score else {}
    text = hit.passage if passages else hit.text
    return LangChainDocument(id=hit.doc_id, page_content=text, metadata={**place, **hit.metadata, **score})
