"""Compare hpdsearch with its teacher and with other search programs: python -m benchmarks."""
