"""Distillation: teacher embeddings, projection, student training, export, quality gates.

`hpdsearch.distill(texts, teacher=..., student=..., output=...)` is the function `distill` of pipeline.py. It needs the
extra `distill`. Importing hpdsearch does not load torch.
"""
