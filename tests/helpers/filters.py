"""Run a filter in SQLite over the metadata of documents."""

import json
import sqlite3

from hpdsearch.catalog.filter_check import check_filter
from hpdsearch.catalog.filter_parser import parse_filter
from hpdsearch.catalog.filter_sql import flatten_metadata, register_functions, to_sql

SCHEMA = """
CREATE TABLE documents(
    doc INTEGER PRIMARY KEY, doc_id TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL,
    metadata TEXT NOT NULL);
CREATE TABLE attributes(field TEXT, text TEXT, number REAL, doc INTEGER, PRIMARY KEY (field, text, doc)) WITHOUT ROWID;
"""


def match_documents(where, corpus, *, check=False):
    """Return the numbers of the documents that SQLite selects by a filter; a document's number is its position.

    With `check`, a filter that can never match raises FilterError.
    """
    connection = sqlite3.connect(":memory:")
    try:
        register_functions(connection)
        connection.executescript(SCHEMA)
        for doc, metadata in enumerate(corpus):
            row = (doc, str(doc), "", "", "", json.dumps(metadata, ensure_ascii=False))
            connection.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", row)
            rows = [(*attribute, doc) for attribute in flatten_metadata(metadata)]
            connection.executemany("INSERT INTO attributes VALUES (?, ?, ?, ?)", rows)
        tree = parse_filter(where)
        if check:
            tree = check_filter(where, tree, lambda sql, parameters: connection.execute(sql, parameters).fetchall())
        condition, parameters = to_sql(tree)
        found = connection.execute(f"SELECT doc FROM documents WHERE {condition} ORDER BY doc", parameters)
        return [doc for (doc,) in found]
    finally:
        connection.close()
