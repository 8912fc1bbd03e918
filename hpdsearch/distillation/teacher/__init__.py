"""The large model whose embeddings are learned, and the cache of these embeddings."""
