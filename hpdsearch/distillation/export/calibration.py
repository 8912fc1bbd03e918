"""Measure how large the outputs of an encoder's layer normalizations become: what quantization has to represent."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hpdsearch.common.vectors import Scores
from hpdsearch.encoder.folder import MODEL, WEIGHTS
from hpdsearch.encoder.runtimes import import_onnxruntime

LENGTHS = (4, 8, 16, 32, 64, 128)  # tokens
ROUNDS = 10
SEED = 1234


def measure_peaks(model: bytes, stored: bytes, *, n_tokens: int, longest: int) -> dict[str, Scores]:
    """Run random tokens through an encoder and return the largest absolute output of each layer normalization.

    Random tokens of the vocabulary gave the same quality as texts (docs/decisions/0049-int8-products.md), so an
    encoder folder depends on its weights alone.

    Args:
        model: the bytes of model.onnx.
        stored: the bytes of model.safetensors.
        n_tokens: size of the vocabulary.
        longest: largest number of tokens that the encoder takes at once.

    Returns:
        float32 (hidden,) by the name of the layer normalization.
    """
    import onnx

    graph = onnx.load_from_string(model)
    norms = [node for node in graph.graph.node if node.op_type == "LayerNormalization"]
    names = [node.input[1].removesuffix(".weight") for node in norms]
    graph.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in norms)
    rng = np.random.default_rng(SEED)
    peaks: dict[str, Scores] = {}
    with TemporaryDirectory() as folder:
        (Path(folder) / WEIGHTS).write_bytes(stored)
        (Path(folder) / MODEL).write_bytes(graph.SerializeToString())
        options = import_onnxruntime().SessionOptions()
        options.intra_op_num_threads = 1
        session = import_onnxruntime().InferenceSession(str(Path(folder) / MODEL), options)
        for length in (min(length, longest) for length in LENGTHS * ROUNDS):
            ids = rng.integers(0, n_tokens, (1, length))
            for name, output in zip(names, session.run(None, {"input_ids": ids})[1:], strict=True):
                found = np.abs(output.reshape(-1, output.shape[-1])).max(axis=0)
                peaks[name] = np.maximum(peaks.get(name, found), found)
    return peaks
