"""How an encoder is made: teacher embeddings, projection, student training, export, gates.

`hpdsearch.distill(texts, teacher=..., student=..., output=...)` does it all; it is the function of pipeline.py. Nothing
here loads torch before it is called.
"""
