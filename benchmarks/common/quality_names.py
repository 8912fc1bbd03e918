"""Name the metrics of the quality benchmark, for tables and pictures; this module loads no models."""

from benchmarks.common.ir_metrics import NDCG

STS = "STS"
N_MEANS = 12  # columns of judge.system_table with means; those of tasks and collections follow

__all__ = ["NDCG", "N_MEANS", "STS"]
