"""The stored documents of all shards that are being changed, looked up as those of one index."""

from collections.abc import Mapping, Sequence
from typing import Any

from hpdsearch.catalog import CatalogWriter, WithdrawnDocument
from hpdsearch.indexer.incoming import N_STREAMS
from hpdsearch.indexer.transaction import Transaction


class AllCatalogs:
    """The catalogs of all shards; has the methods of a catalog that give a document the doc_id of its source."""

    def __init__(self, catalogs: Sequence[CatalogWriter]) -> None:
        """Take the catalogs of the transactions."""
        self._catalogs = catalogs

    def next_doc(self) -> int:
        """Return a number; 0: no shard holds a document."""
        return max((catalog.next_doc() for catalog in self._catalogs), default=0)

    def stored_sources(self, doc_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return a number and the source by doc_id, for the existing documents among these."""
        return {
            doc_id: found for catalog in self._catalogs for doc_id, found in catalog.stored_sources(doc_ids).items()
        }

    def sources_by_stem(self, stems: Sequence[str], location: str, *, has_lines: bool) -> dict[str, str]:
        """Return a stored source by stem, for those of these stems that are in use, of this file if there is one."""
        found: dict[str, str] = {}
        for catalog in self._catalogs:
            for stem, source in catalog.sources_by_stem(stems, location, has_lines=has_lines).items():
                if stem not in found or source.startswith(f"{location}:"):
                    found[stem] = source
        return found

    def find_withdrawn(self, place: str, doc_id: str | None = None) -> WithdrawnDocument | None:
        """Return the withdrawn document of a place, with this doc_id or with any; None: there is none."""
        found = (catalog.find_withdrawn(place, doc_id) for catalog in self._catalogs)
        return next((document for document in found if document is not None), None)

    def has_stream(self) -> bool:
        """Return whether a document comes from standard input; reads all sources."""
        return any(catalog.has_stream() for catalog in self._catalogs)


class AllShards:
    """The transactions on all shards, as `IncomingDocuments` needs them; none stand for an index that holds nothing.

    Attributes:
        catalog: the stored documents of all shards.
    """

    def __init__(self, transactions: Sequence[Transaction] = ()) -> None:
        """Take transactions that have begun."""
        self.catalog = AllCatalogs([txn.catalog for txn in transactions])
        self._transactions = transactions
        counts = [txn.meta[N_STREAMS] for txn in transactions if N_STREAMS in txn.meta]
        self._meta: dict[str, Any] = {N_STREAMS: max(counts)} if counts else {}

    @property
    def meta(self) -> Mapping[str, Any]:
        """The settings that doc_ids depend on."""
        return self._meta

    def set_meta(self, **settings: Any) -> None:
        """Change settings of all shards."""
        self._meta.update(settings)
        for txn in self._transactions:
            txn.set_meta(**settings)
