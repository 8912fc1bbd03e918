"""Modules that several benchmarks share: options, rounds, results, metrics, corpora, environments of baselines."""
