"""Names of the quality benchmark that tables and pictures share, apart from the modules that load models."""

from benchmarks.common.ir_metrics import NDCG

STS = "STS"
N_MEANS = 12  # columns of judge.system_table before those of single tasks and collections

__all__ = ["NDCG", "N_MEANS", "STS"]
