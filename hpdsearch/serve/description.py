"""The description of an index for clients: what `hpdsearch info` knows, without paths, and values to filter by."""

from pathlib import Path
from typing import Any

from hpdsearch.index import Index

MAX_FIELDS = 50
MAX_VALUES = 20


def describe_index(name: str, index: Index) -> dict[str, Any]:
    """Return an index as JSON values.

    Args:
        name: of the index.
        index: the opened index.
    """
    described = index.info().as_dict()
    del described["folder"]
    described["encoder"] = Path(described["encoder"]).name  # an encoder that does not ship is named by its folder
    fields = described["fields"][:MAX_FIELDS]
    values = {
        field: [{"value": value, "n_documents": n} for value, n in index.frequent_values(field, MAX_VALUES)]
        for field in fields
    }
    return {"name": name, **described, "values": values}
