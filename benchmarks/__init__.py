"""Measure hpdsearch beside its teacher and beside what people use instead: python -m benchmarks."""
