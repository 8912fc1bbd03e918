"""The graph model.onnx, which reads its weights from model.safetensors.

The graph is built by hand instead of traced by torch. It takes windows of equal length, so it needs no attention mask,
and each of its operations was measured to be the fastest of onnxruntime on a CPU.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hpdsearch.common.files import parse_json
from hpdsearch.encoder.bert import (
    EMBEDDING_NORM,
    HEAD,
    POSITION_EMBEDDINGS,
    RELATIVE_BIAS,
    WORD_EMBEDDINGS,
    Pooling,
)
from hpdsearch.encoder.folder import WEIGHTS
from hpdsearch.encoder.weights import SCALE

OPSET = 20  # the first with Gelu
HEAD_MAP = "head"


def onnx_model(stored: bytes, *, n_layers: int, n_heads: int, epsilon: float, pooling: Pooling = Pooling.MEAN) -> bytes:
    """Build model.onnx: input_ids int64 (n, tokens) -> embeddings float32 (n, dim), rows of unit length.

    Args:
        stored: the bytes of model.safetensors. The graph refers to its tensors by offset and length.
        n_layers: Transformer layers.
        n_heads: attention heads per layer.
        epsilon: of the layer normalizations.
        pooling: of the token vectors.
    """
    return build_encoder(Graph(stored, epsilon=epsilon), n_layers=n_layers, n_heads=n_heads, pooling=pooling)


def build_encoder(graph: "Graph", *, n_layers: int, n_heads: int, pooling: Pooling) -> bytes:
    """Add the encoder to an empty graph and return the serialized model."""
    hidden = graph.shapes[WORD_EMBEDDINGS][1]
    # Rows are looked up in int8, so only the rows of the input are converted to float32.
    words = graph.op("Gather", WORD_EMBEDDINGS, "input_ids")
    if WORD_EMBEDDINGS + SCALE in graph.shapes:
        words = graph.op("Mul", graph.cast(words), graph.op("Gather", WORD_EMBEDDINGS + SCALE, "input_ids"))
    n_tokens = graph.op("Shape", "input_ids", start=1, end=2)
    positions = graph.op("Slice", POSITION_EMBEDDINGS, graph.ints(0), n_tokens, graph.ints(0))
    shape = graph.op("Concat", graph.op("Shape", "input_ids"), graph.ints(hidden), axis=0)
    flat = graph.ints(-1, hidden)
    biases = ["", "", graph.relative_bias(n_tokens)] if RELATIVE_BIAS in graph.shapes else []
    # All tokens of a batch are the rows of one matrix, so that Gemm can add the bias.
    x = graph.op("Reshape", graph.norm(graph.op("Add", words, positions), EMBEDDING_NORM), flat)
    norm = EMBEDDING_NORM
    for number in range(n_layers):
        layer = f"encoder.layer.{number}"
        attention_inputs = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        query, key, value = (
            graph.op("Reshape", part, shape) for part in graph.linear_after_norm(x, attention_inputs, norm)
        )
        mixed = graph.op("MultiHeadAttention", query, key, value, *biases, domain="com.microsoft", num_heads=n_heads)
        attended = graph.linear(graph.op("Reshape", mixed, flat), f"{layer}.attention.output.dense")
        norm = f"{layer}.attention.output.LayerNorm"
        x = graph.norm(graph.op("Add", x, attended), norm)
        (inner,) = graph.linear_after_norm(x, [f"{layer}.intermediate.dense"], norm)
        output = graph.linear_after_gelu(graph.op("Gelu", inner), f"{layer}.output.dense")
        norm = f"{layer}.output.LayerNorm"
        x = graph.norm(graph.op("Add", x, output), norm)
    tokens = graph.op("Reshape", x, shape)
    if pooling is Pooling.CLS:
        pooled = graph.op("Gather", tokens, graph.array("first", np.array(0)), axis=1)
    else:
        pooled = graph.op("ReduceMean", tokens, graph.ints(1), keepdims=0)
    graph.op("LpNormalization", graph.linear(pooled, HEAD_MAP), output="embeddings", axis=-1, p=2)
    return graph.model()


def external_tensors(stored: bytes) -> list[Any]:
    """Return the tensors of model.safetensors, given by its bytes, as initializers that refer to them."""
    from onnx import TensorProto

    kinds = {"F32": TensorProto.FLOAT, "I8": TensorProto.INT8}
    # Layout of safetensors: 8 bytes with the length of a JSON header, the header, the data.
    (header_bytes,) = struct.unpack("<Q", stored[:8])
    tensors = []
    for name, entry in parse_json(stored[8 : 8 + header_bytes]).items():
        first, last = entry["data_offsets"]
        tensor = TensorProto(name=name, data_type=kinds[entry["dtype"]], dims=entry["shape"])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", 8 + header_bytes + first), ("length", last - first)):
            tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    return tensors


class Graph:
    """An ONNX graph under construction. Its weights are tensors of model.safetensors, under the same names."""

    def __init__(self, stored: bytes, *, epsilon: float) -> None:
        from onnx import helper

        self._helper = helper
        self._epsilon = epsilon
        self._nodes: list[Any] = []
        self._constants: set[str] = set()
        self._initializers: list[Any] = external_tensors(stored)
        self.shapes: dict[str, list[int]] = {tensor.name: list(tensor.dims) for tensor in self._initializers}

    def op(self, kind: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the name of the output."""
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

    def array(self, name: str, values: np.ndarray) -> str:
        """Add a constant array under a new name and return the name."""
        from onnx import numpy_helper

        if name not in self._constants:
            self._constants.add(name)
            self._initializers.append(numpy_helper.from_array(values, name))
        return name

    def split(self, x: str, widths: Sequence[int]) -> list[str]:
        """Split the columns of x into parts of these widths."""
        outputs = [f"Split_{len(self._nodes)}_{number}" for number in range(len(widths))]
        self._nodes.append(self._helper.make_node("Split", [x, self.ints(*widths)], outputs, axis=1))
        return outputs

    def cast(self, name: str) -> str:
        """Add a cast to float32."""
        from onnx import TensorProto

        return self.op("Cast", name, to=TensorProto.FLOAT)

    def linear(self, x: str, name: str) -> str:
        """Apply the linear map of that name to the rows of x (rows, columns).

        The product of an int8 weight and its scales depends on no input. onnxruntime computes it once per session.
        """
        weight, bias = f"{name}.weight", f"{name}.bias"
        if weight + SCALE in self.shapes:
            weight = self.op("Mul", self.cast(weight), weight + SCALE)
        inputs = [x, weight, bias] if bias in self.shapes else [x, weight]
        return self.op("Gemm", *inputs, transB=1)

    def linear_after_norm(self, x: str, names: Sequence[str], norm: str) -> Iterable[str]:
        """Apply several linear maps to the output x of the layer normalization of that name."""
        return (self.linear(x, name) for name in names)

    def linear_after_gelu(self, x: str, name: str) -> str:
        """Apply a linear map to the output x of a GELU."""
        return self.linear(x, name)

    def relative_bias(self, n_tokens: str) -> str:
        """Look up the bias of the attention logits (1, heads, tokens, tokens) by the distance of the tokens."""
        center = self.shapes[RELATIVE_BIAS][1] // 2
        limits = (self.array("zero", np.array(0)), self.op("Squeeze", n_tokens), self.array("one", np.array(1)))
        positions = self.op("Range", *limits)
        keys, queries = (self.op("Unsqueeze", positions, self.ints(axis)) for axis in (0, 1))
        distances = self.op("Add", self.op("Sub", keys, queries), self.ints(center))  # (tokens, tokens)
        return self.op("Unsqueeze", self.op("Gather", RELATIVE_BIAS, distances, axis=1), self.ints(0))

    def norm(self, x: str, name: str) -> str:
        """Apply the layer normalization of that name to the last axis of x."""
        return self.op("LayerNormalization", x, f"{name}.weight", f"{name}.bias", epsilon=self._epsilon)

    def model(self) -> bytes:
        """Return the serialized graph."""
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
