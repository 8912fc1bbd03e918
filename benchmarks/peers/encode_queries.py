"""Encode texts by sentence-transformers: MODEL TEXTS.json VECTORS.json."""

import json
import sys
from pathlib import Path

from sentence_transformers import SentenceTransformer

model, texts, vectors = sys.argv[1:]
encoded = SentenceTransformer(model, device="cpu").encode(json.loads(Path(texts).read_text()))
Path(vectors).write_text(json.dumps([[float(value) for value in vector] for vector in encoded]))
