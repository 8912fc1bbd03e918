"""The teacher: the large model, its folder, and the cache of its embeddings."""
