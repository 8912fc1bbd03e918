"""Writing: one transaction on an index folder; documents become vectors, catalog rows and lexical rows."""
