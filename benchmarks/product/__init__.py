"""The command line and the Index as a user meets them: startup, query latency, indexing, distillation."""
