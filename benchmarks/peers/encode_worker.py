"""Encode texts on request and report the time; each process loads one model, so that models can be interleaved.

    python benchmarks/peers/encode_worker.py encoder base --threads 2

Each input line is {"texts": path of a JSON list, "one_by_one": false}. The answer is {"seconds": [...]}: one number for
all texts together, or one number per text if they are encoded one by one.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Encode = Callable[[list[str]], Any]


def main() -> None:
    """Read the options, load the model, answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=OPENERS)
    parser.add_argument("model", help="folder, or name of a built-in encoder")
    parser.add_argument("--threads", type=int, required=True, help="cores that the process may use")
    parser.add_argument("--setting", default="", help="backend of an encoder, or precision of another model")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # before a library counts the cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    encode = OPENERS[options.kind](options.model, options.setting, options.threads)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        texts = json.loads(Path(request["texts"]).read_bytes())
        groups = [[text] for text in texts] if request["one_by_one"] else [texts]
        print(json.dumps({"seconds": time_groups(encode, groups)}), flush=True)


def time_groups(encode: Encode, groups: Sequence[list[str]]) -> list[float]:
    """Return the seconds that each group of texts takes."""
    seconds = []
    for group in groups:
        start = time.perf_counter()
        encode(group)
        seconds.append(time.perf_counter() - start)
    return seconds


def open_encoder(model: str, backend: str, threads: int) -> Encode:
    """Open an encoder of hpdsearch."""
    from hpdsearch.encoder import Encoder

    return Encoder.load(model, backend=backend, threads=threads).encode


def open_teacher(model: str, precision: str, threads: int) -> Encode:
    """Open the teacher with transformers: batches of 32, sorted by length, padded."""
    import teacher_encode
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    network = AutoModel.from_pretrained(model, local_files_only=True, dtype=torch.float32).eval()
    max_tokens = json.loads((Path(model) / "sentence_bert_config.json").read_bytes())["max_seq_length"]
    return lambda texts: teacher_encode.encode(network, tokenizer, texts, precision, batch=32, max_tokens=max_tokens)


def open_own_teacher(model: str, precision: str, threads: int) -> Encode:
    """Open the teacher as distillation does: batches with a fixed number of tokens and little padding."""
    import torch

    from hpdsearch.distillation.teacher.teacher import Teacher

    torch.set_num_threads(threads)
    return Teacher.load(Path(model), device="cpu", dtype=getattr(torch, precision)).encode


def open_sentence_transformers(model: str, setting: str, threads: int) -> Encode:
    """Open a model with sentence-transformers, in torch with a precision or, with "onnx", as an exported model."""
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    options: dict[str, Any] = {"device": "cpu", "local_files_only": True}
    if setting == "onnx":
        from hpdsearch.encoder.runtimes import import_onnxruntime

        session = import_onnxruntime().SessionOptions()
        session.intra_op_num_threads = threads
        chosen = {"provider": "CPUExecutionProvider", "session_options": session}
        opened = SentenceTransformer(model, backend="onnx", model_kwargs=chosen, **options)
    else:
        import torch

        torch.set_num_threads(threads)
        opened = SentenceTransformer(model, model_kwargs={"dtype": getattr(torch, setting)}, **options)
    return lambda texts: opened.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def open_fastembed(model: str, _: str, threads: int) -> Encode:
    """Open an exported model with fastembed, in its default batches."""
    from fastembed import TextEmbedding  # type: ignore[import-not-found]
    from fastembed.common.model_description import ModelSource, PoolingType  # type: ignore[import-not-found]

    name = Path(model).name
    dim = json.loads((Path(model) / "config.json").read_bytes())["hidden_size"]
    TextEmbedding.add_custom_model(
        model=name, pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf=name), dim=dim
    )
    opened = TextEmbedding(name, threads=threads, specific_model_path=model)
    return lambda texts: list(opened.embed(texts))


def open_model2vec(model: str, _: str, threads: int) -> Encode:
    """Open a token table of model2vec."""
    from model2vec import StaticModel

    table = StaticModel.from_pretrained(model)
    return lambda texts: table.encode(texts, use_multiprocessing=threads > 1)


OPENERS: dict[str, Callable[[str, str, int], Encode]] = {
    "encoder": open_encoder,
    "teacher": open_teacher,
    "own-teacher": open_own_teacher,
    "fastembed": open_fastembed,
    "model2vec": open_model2vec,
    "sentence-transformers": open_sentence_transformers,
}

if __name__ == "__main__":
    main()
