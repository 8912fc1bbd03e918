"""Trained weights to an encoder folder: the weights once, in model.safetensors, and a model.onnx that points into them.

The graph is written by hand instead of traced by torch: it takes windows of equal length, so it needs no mask, and each
of its operations was measured to be the fastest that onnxruntime has on a CPU.
"""

import json
import struct
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpdsearch.encoder.folder import CARD, CONFIG, MODEL, TOKENIZER, WEIGHTS, EncoderCard, write_card
from hpdsearch.errors import MissingExtraError, ShapeError
from hpdsearch.files import published, sha256_of
from hpdsearch.vectors import Matrix

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SCALE = ".scale"
SPECIAL_TOKENS = 2  # around every window
OPSET = 20  # the first with Gelu
WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"
HEAD = "head.weight"
DENSE = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
NORMS = ("attention.output.LayerNorm", "output.LayerNorm")


class Precision(Enum):
    """How the large matrices are stored; the arithmetic is float32 either way."""

    FLOAT32 = "float32"
    INT8 = "int8"


def export_encoder(
    folder: Path,
    *,
    name: str,
    space: str,
    bert: Mapping[str, np.ndarray],
    head: np.ndarray,
    n_heads: int,
    tokenizer: "Tokenizer",
    max_tokens: int = 256,
    layer_norm_eps: float = 1e-12,
    precision: Precision = Precision.INT8,
) -> Path:
    """Write an encoder folder: Transformer, mean over the tokens, linear head, scaling to length 1.

    Args:
        folder: made if it is not there; files of an encoder in it are replaced.
        name: the encoder's name.
        space: id of the space that the encoder was trained into.
        bert: float weights under the names of transformers' BertModel.state_dict(); the number of layers is read from
            the names, the pooler is left out. The activation is the exact GELU.
        head: (dim, hidden), applied to the mean of the last layer's token vectors.
        n_heads: attention heads a layer.
        tokenizer: sets one special token before and one after a text.
        max_tokens: tokens of text, without the special tokens, in a window.
        layer_norm_eps: epsilon of every layer normalisation.
        precision: how the word table and the layers' matrices are stored.

    Returns:
        The folder. Equal arguments give equal bytes.

    Raises:
        ShapeError: head, position table or word table do not fit.
    """
    from safetensors.numpy import save

    tensors = encoder_tensors(bert, head, max_tokens=max_tokens)
    n_layers, hidden, n_words = count_layers(tensors), tensors[WORDS].shape[1], tokenizer.get_vocab_size()
    if len(tensors[WORDS]) < n_words:
        raise ShapeError(f"{WORDS}: expected at least {n_words} rows for the tokenizer, got {len(tensors[WORDS])}")
    if hidden % n_heads:
        raise ShapeError(f"n_heads: expected a divisor of {hidden} (hidden), got {n_heads}")
    if precision is Precision.INT8:
        tensors = quantized(tensors)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = {
        "model_type": "bert",
        "vocab_size": len(tensors[WORDS]),
        "hidden_size": hidden,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "hidden_act": "gelu",
        "layer_norm_eps": layer_norm_eps,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    stored = save(tensors)
    contents = {
        WEIGHTS: stored,
        MODEL: onnx_model(stored, n_layers=n_layers, n_heads=n_heads, epsilon=layer_norm_eps),
        CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        TOKENIZER: tokenizer.to_str().encode(),
    }
    for file_name, content in contents.items():
        with published(folder / file_name) as file:
            file.write(content)
    sums = {file_name: sha256_of(folder / file_name) for file_name in sorted(contents)}
    write_card(folder, EncoderCard(name=name, dim=len(tensors[HEAD]), max_tokens=max_tokens, space=space, sha256=sums))
    return folder


def encoder_tensors(bert: Mapping[str, np.ndarray], head: np.ndarray, *, max_tokens: int) -> dict[str, np.ndarray]:
    """Return what the encoder keeps of a BertModel's weights, float32, and its head.

    Every text is one segment, so the vector of token type 0 is added to the position table, cut to the longest window.
    """
    length = max_tokens + SPECIAL_TOKENS
    if len(bert[POSITIONS]) < length:
        raise ShapeError(
            f"max_tokens: expected at most {len(bert[POSITIONS]) - SPECIAL_TOKENS} "
            f"({POSITIONS} has {len(bert[POSITIONS])} rows, {SPECIAL_TOKENS} go to special tokens), got {max_tokens}"
        )
    hidden = bert[WORDS].shape[1]
    if head.ndim != 2 or head.shape[1] != hidden:
        raise ShapeError(f"head: expected shape (dim, {hidden}), got {head.shape}")
    linear_names = [f"encoder.layer.{number}.{part}" for number in range(count_layers(bert)) for part in DENSE + NORMS]
    kept = {
        f"{part}.{kind}": bert[f"{part}.{kind}"]
        for part in ["embeddings.LayerNorm", *linear_names]
        for kind in ("weight", "bias")
    }
    kept |= {WORDS: bert[WORDS], POSITIONS: bert[POSITIONS][:length] + bert[TYPES][0], HEAD: head}
    return {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in kept.items()}


def count_layers(tensors: Mapping[str, Any]) -> int:
    """Return the number of Transformer layers."""
    return sum(key.endswith("attention.self.query.weight") for key in tensors)


def quantized(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors with word table and layer matrices as int8 rows, one float32 scale (rows, 1) each."""
    result = dict(tensors)
    for name, tensor in tensors.items():
        is_dense = name.startswith("encoder.layer.") and tensor.ndim == 2
        if is_dense or name == WORDS:
            result[name], result[name + SCALE] = quantize_rows(tensor)
    return result


def quantize_rows(matrix: np.ndarray) -> tuple[np.ndarray, Matrix]:
    """Return int8 (rows, columns) in -127..127 and float32 scales (rows, 1) with matrix ~ int8 * scales."""
    peaks = np.abs(matrix).max(axis=1, keepdims=True)
    scales = np.where(peaks == 0, 1, peaks / 127).astype(np.float32)
    return np.clip(np.rint(matrix / scales), -127, 127).astype(np.int8), scales


def onnx_model(stored: bytes, *, n_layers: int, n_heads: int, epsilon: float) -> bytes:
    """Return model.onnx: input_ids int64 (n, tokens) -> embeddings float32 (n, dim), rows of length 1.

    Args:
        stored: the bytes of model.safetensors; the graph refers to its tensors by offset and length.
        n_layers: Transformer layers.
        n_heads: attention heads a layer.
        epsilon: of the layer normalisations.
    """
    graph = _Graph(stored, epsilon=epsilon)
    hidden = graph.shapes[WORDS][1]
    # Rows are looked up while still int8; only the rows met become float32.
    words = graph.op("Gather", WORDS, "input_ids")
    if WORDS + SCALE in graph.shapes:
        words = graph.op("Mul", graph.cast(words), graph.op("Gather", WORDS + SCALE, "input_ids"))
    n_tokens = graph.op("Shape", "input_ids", start=1, end=2)
    positions = graph.op("Slice", POSITIONS, graph.ints(0), n_tokens, graph.ints(0))
    shape = graph.op("Concat", graph.op("Shape", "input_ids"), graph.ints(hidden), axis=0)
    flat = graph.ints(-1, hidden)
    # All tokens of a batch are the rows of one matrix: Gemm adds the bias for nothing.
    x = graph.op("Reshape", graph.norm(graph.op("Add", words, positions), "embeddings.LayerNorm"), flat)
    for number in range(n_layers):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            graph.op("Reshape", graph.linear(x, f"{layer}.attention.self.{part}"), shape)
            for part in ("query", "key", "value")
        )
        mixed = graph.op("MultiHeadAttention", query, key, value, domain="com.microsoft", num_heads=n_heads)
        attended = graph.linear(graph.op("Reshape", mixed, flat), f"{layer}.attention.output.dense")
        x = graph.norm(graph.op("Add", x, attended), f"{layer}.attention.output.LayerNorm")
        inner = graph.op("Gelu", graph.linear(x, f"{layer}.intermediate.dense"))
        x = graph.norm(graph.op("Add", x, graph.linear(inner, f"{layer}.output.dense")), f"{layer}.output.LayerNorm")
    mean = graph.op("ReduceMean", graph.op("Reshape", x, shape), graph.ints(1), keepdims=0)
    graph.op("LpNormalization", graph.linear(mean, "head"), output="embeddings", axis=-1, p=2)
    return graph.model()


class _Graph:
    """An ONNX graph under construction, whose weights lie in model.safetensors under their names."""

    def __init__(self, stored: bytes, *, epsilon: float) -> None:
        try:
            from onnx import helper
        except ImportError as error:
            raise MissingExtraError('writing an encoder needs onnx: pip install "hpdsearch[dev]"') from error
        self._helper = helper
        self._epsilon = epsilon
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._constants: set[str] = set()
        # safetensors: 8 bytes with the length of a JSON header, the header, the data.
        (header_bytes,) = struct.unpack("<Q", stored[:8])
        self.shapes: dict[str, list[int]] = {}
        for name, entry in json.loads(stored[8 : 8 + header_bytes]).items():
            self.shapes[name] = entry["shape"]
            first, last = entry["data_offsets"]
            self._initializers.append(self._external(name, entry, 8 + header_bytes + first, last - first))

    def _external(self, name: str, entry: Mapping[str, Any], offset: int, n_bytes: int) -> Any:
        from onnx import TensorProto

        kind = {"F32": TensorProto.FLOAT, "I8": TensorProto.INT8}[entry["dtype"]]
        tensor = TensorProto(name=name, data_type=kind, dims=entry["shape"], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", WEIGHTS), ("offset", offset), ("length", n_bytes)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def op(self, kind: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def ints(self, *values: int) -> str:
        """Return the name of a constant int64 vector."""
        from onnx import TensorProto

        name = "ints_" + "_".join(map(str, values))
        if name not in self._constants:
            self._constants.add(name)
            self._initializers.append(self._helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def cast(self, name: str) -> str:
        """Add a cast to float32."""
        from onnx import TensorProto

        return self.op("Cast", name, to=TensorProto.FLOAT)

    def linear(self, x: str, name: str) -> str:
        """Add the linear map of that name on the rows of x (rows, columns).

        An int8 weight times its scales depends on no input: onnxruntime works it out once, when the session is made.
        """
        weight, bias = f"{name}.weight", f"{name}.bias"
        if weight + SCALE in self.shapes:
            weight = self.op("Mul", self.cast(weight), weight + SCALE)
        inputs = [x, weight, bias] if bias in self.shapes else [x, weight]
        return self.op("Gemm", *inputs, transB=1)

    def norm(self, x: str, name: str) -> str:
        """Add the layer normalisation of that name over the last axis of x."""
        return self.op("LayerNormalization", x, f"{name}.weight", f"{name}.bias", epsilon=self._epsilon)

    def model(self) -> bytes:
        """Return the finished graph, serialized."""
        from onnx import TensorProto

        make_info, make_opset = self._helper.make_tensor_value_info, self._helper.make_opsetid
        graph = self._helper.make_graph(
            self._nodes,
            "encoder",
            [make_info("input_ids", TensorProto.INT64, ["n", "tokens"])],
            [make_info("embeddings", TensorProto.FLOAT, ["n", self.shapes[HEAD][0]])],
            self._initializers,
        )
        opsets = [make_opset("", OPSET), make_opset("com.microsoft", 1)]
        model = self._helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="hpdsearch")
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized
