"""Measure the encoding speed of the teacher in torch, with mean pooling and batches sorted by length; print JSON.

    python benchmarks/peers/teacher_encode.py texts.json --model ~/.cache/hpdsearch-models/all-mpnet-base-v2 --threads 2

texts.json is a list of strings. The script has a process of its own, so that torch and faiss never share one.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PRECISIONS = ("float32", "bfloat16")
Tokenize = Callable[..., Any]


def main() -> None:
    """Read the options, measure each precision, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="local model folder")
    parser.add_argument("--batch", type=int, default=32, help="texts per batch")
    parser.add_argument("--threads", type=int, required=True, help="threads of torch")
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS, help="precisions to measure, in this order"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    from transformers import AutoModel, AutoTokenizer

    texts = json.loads(options.texts.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(options.model, local_files_only=True)
    model = AutoModel.from_pretrained(options.model, local_files_only=True, dtype=torch.float32).eval()
    max_tokens = json.loads((options.model / "sentence_bert_config.json").read_bytes())["max_seq_length"]
    seconds = {}
    for precision in options.precisions:
        encode(
            model, tokenizer, texts[: options.batch], precision, batch=options.batch, max_tokens=max_tokens
        )  # warm-up
        start = time.perf_counter()
        encode(model, tokenizer, texts, precision, batch=options.batch, max_tokens=max_tokens)
        seconds[precision] = time.perf_counter() - start
    print(json.dumps({"n_texts": len(texts), "seconds": seconds}))


@torch.inference_mode()
def encode(
    model: torch.nn.Module, tokenize: Tokenize, texts: Sequence[str], precision: str, *, batch: int, max_tokens: int
) -> Tensor:
    """Return the teacher's unit vectors, float32 (n, teacher_dim), in the order of the texts.

    Args:
        model: a transformers model with a last_hidden_state.
        tokenize: its tokenizer.
        texts: n >= 1 texts.
        precision: "float32", or "bfloat16" for autocast.
        batch: texts per batch; the longest texts come first, so that batches need little padding.
        max_tokens: longer texts are truncated, as in sentence-transformers.
    """
    order = sorted(range(len(texts)), key=lambda position: -len(texts[position]))
    parts = []
    for first in range(0, len(order), batch):
        chosen = [texts[position] for position in order[first : first + batch]]
        inputs = tokenize(chosen, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            states = model(**inputs).last_hidden_state.float()  # (n, tokens, teacher_dim)
        mask = inputs["attention_mask"][:, :, None].float()
        parts.append(functional.normalize((states * mask).sum(dim=1) / mask.sum(dim=1)))
    vectors = torch.empty(len(texts), parts[0].shape[1])
    vectors[torch.tensor(order)] = torch.cat(parts)
    return vectors


if __name__ == "__main__":
    main()
