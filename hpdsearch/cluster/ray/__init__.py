"""Builds and searches an index in shards on a Ray cluster. Only the functions that need Ray import it."""
