"""Make the texts that `hpdsearch adopt` compares on by default: definitions of examples/wordnet.jsonl.gz."""

import gzip
import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "examples" / "wordnet.jsonl.gz"
TARGET = ROOT / "hpdsearch" / "distillation" / "data" / "sample.txt.gz"
N_TEXTS = 1_000
SEED = 0


def draw_sample() -> bytes:
    """Return the lines of the sample, compressed."""
    with gzip.open(SOURCE, "rt", encoding="utf-8") as lines:
        texts = list(dict.fromkeys(json.loads(line)["text"] for line in lines))
    rows = np.random.default_rng(SEED).choice(len(texts), N_TEXTS, replace=False)
    content = "".join(f"{texts[row]}\n" for row in sorted(rows.tolist()))
    return gzip.compress(content.encode(), mtime=0)


if __name__ == "__main__":
    TARGET.write_bytes(draw_sample())
