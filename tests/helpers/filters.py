"""Run a filter in SQLite over the metadata of documents."""

import sqlite3

from hpdsearch.catalog.filter_parser import parse_filter
from hpdsearch.catalog.filter_sql import flatten_metadata, register_functions, to_sql

SCHEMA = """
CREATE TABLE documents(doc INTEGER PRIMARY KEY);
CREATE TABLE attributes(field TEXT, text TEXT, number REAL, doc INTEGER, PRIMARY KEY (field, text, doc)) WITHOUT ROWID;
"""


def match_documents(where, corpus):
    """Return the numbers of the documents that SQLite selects by a filter; a document's number is its position."""
    connection = sqlite3.connect(":memory:")
    try:
        register_functions(connection)
        connection.executescript(SCHEMA)
        for doc, metadata in enumerate(corpus):
            connection.execute("INSERT INTO documents VALUES (?)", (doc,))
            rows = [(*attribute, doc) for attribute in flatten_metadata(metadata)]
            connection.executemany("INSERT INTO attributes VALUES (?, ?, ?, ?)", rows)
        condition, parameters = to_sql(parse_filter(where))
        found = connection.execute(f"SELECT doc FROM documents WHERE {condition} ORDER BY doc", parameters)
        return [doc for (doc,) in found]
    finally:
        connection.close()
