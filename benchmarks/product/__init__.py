"""Measure the command line and the Index: startup, query latency, indexing, memory, domain adaptation."""
