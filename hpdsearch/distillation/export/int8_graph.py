"""The graph model.int8.onnx: the products of the layers in int8, for processors that have instructions for them.

Each row of activations, which is one token, gets a scale of its own. So the vector of a text does not depend on the
other texts of its batch. The graph holds the weights that it needs in another form, and refers to model.safetensors for
the others.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hpdsearch.common.vectors import Matrix, Scores
from hpdsearch.distillation.export.onnx_graph import HEAD_MAP, Graph, build_encoder
from hpdsearch.distillation.export.quantize import Int8Matrix, quantize_rows
from hpdsearch.encoder.bert import Pooling
from hpdsearch.encoder.weights import SCALE

GELU_MINIMUM = -0.17  # GELU is never smaller: its minimum is -0.16997
SMALLEST = 1e-30  # a peak of zeros must not become a divisor


def onnx_int8_model(
    stored: bytes,
    *,
    n_layers: int,
    n_heads: int,
    epsilon: float,
    peaks: Mapping[str, Scores],
    pooling: Pooling = Pooling.MEAN,
) -> bytes:
    """Build model.int8.onnx, with the inputs and outputs of model.onnx.

    Args:
        stored: the bytes of model.safetensors, with int8 matrices. The graph refers to its tensors.
        n_layers: Transformer layers.
        n_heads: attention heads per layer.
        epsilon: of the layer normalizations.
        peaks: largest absolute output (hidden,) of each layer normalization, by its name; see `measure_peaks`.
        pooling: of the token vectors.
    """
    graph = _Int8Graph(stored, epsilon=epsilon, peaks=peaks)
    return build_encoder(graph, n_layers=n_layers, n_heads=n_heads, pooling=pooling)


class _Int8Graph(Graph):
    def __init__(self, stored: bytes, *, epsilon: float, peaks: Mapping[str, Scores]) -> None:
        from safetensors.numpy import load

        super().__init__(stored, epsilon=epsilon)
        self._tensors = load(stored)
        self._peaks = peaks

    def linear(self, x: str, name: str) -> str:
        """Quantize the rows of x symmetrically around zero."""
        if name == HEAD_MAP:
            return super().linear(x, name)
        largest = self._positive(self.op("ReduceMax", self.op("Abs", x), self.ints(1), keepdims=1))
        scaled = self.op("Mul", x, self.op("Div", self._float(127), largest))
        product = self._multiply(scaled, 128, *self._stored_weight(name))
        return self.op("Add", self.op("Mul", product, self._share(largest, 127)), f"{name}.bias")

    def linear_after_gelu(self, x: str, name: str) -> str:
        """Quantize the rows of x from the minimum of GELU to their maximum."""
        shifted = self.op("Sub", x, self._float(GELU_MINIMUM))
        width = self._positive(self.op("ReduceMax", shifted, self.ints(1), keepdims=1))
        scaled = self.op("Mul", shifted, self.op("Div", self._float(255), width))
        product = self._multiply(scaled, 0, *self._stored_weight(name))
        sums = row_sums(self._tensors[f"{name}.weight"], self._tensors[f"{name}.weight{SCALE}"])
        bias = self.array(f"{name}.shifted_bias", self._tensors[f"{name}.bias"] + np.float32(GELU_MINIMUM) * sums)
        return self.op("Add", self.op("Mul", product, self._share(width, 255)), bias)

    def linear_after_norm(self, x: str, names: Sequence[str], norm: str) -> list[str]:
        """Quantize the rows of x / smoothing from their minimum to their maximum; all maps share one product."""
        weight = np.concatenate([self._tensors[f"{name}.weight"] for name in names])
        weight_scales = np.concatenate([self._tensors[f"{name}.weight{SCALE}"] for name in names])
        smoothing, weight, weight_scales = smooth(weight * weight_scales, self._peaks[norm])
        smoothed = self.op("Mul", x, self.array(f"{norm}.smoothing", 1 / smoothing))
        low = self.op("ReduceMin", smoothed, self.ints(1), keepdims=1)
        high = self.op("ReduceMax", smoothed, self.ints(1), keepdims=1)
        width = self._positive(self.op("Sub", high, low))
        scaled = self.op("Mul", self.op("Sub", smoothed, low), self.op("Div", self._float(255), width))
        stored = self.array(f"{norm}.weight_after", np.ascontiguousarray(weight.T))
        product = self._multiply(scaled, 0, stored, self.array(f"{norm}.scales_after", weight_scales[:, 0]))
        # One product adds both the bias and what subtracting the minimum took away: (low, 1) @ (sums; bias).
        bias = np.concatenate([self._tensors[f"{name}.bias"] for name in names])
        both = self.array(f"{norm}.sums_and_bias_after", np.stack([row_sums(weight, weight_scales), bias]))
        ones = self.op("Add", self.op("Mul", low, self._float(0)), self._float(1))
        scaled_back = self.op("Mul", product, self._share(width, 255))
        result = self.op("Gemm", self.op("Concat", low, ones, axis=1), both, scaled_back)
        if len(names) == 1:
            return [result]
        return self.split(result, [self.shapes[f"{name}.weight"][0] for name in names])

    def _stored_weight(self, name: str) -> tuple[str, str]:
        """Return the int8 matrix (inputs, outputs) of model.safetensors and its scales (outputs,)."""
        weight = self.op("Transpose", f"{name}.weight", perm=[1, 0])
        return weight, self.op("Reshape", f"{name}.weight{SCALE}", self.ints(-1))

    def _multiply(self, scaled: str, zero: int, weight: str, scales: str) -> str:
        """Round `scaled` to uint8 with that zero point and multiply it by int8 weights (inputs, outputs)."""
        zero_point = self.array(f"zero_{zero}", np.array(zero, dtype=np.uint8))
        rounded = self.op("QuantizeLinear", scaled, self._float(1), zero_point)
        inputs = [rounded, weight, self._float(1), scales, zero_point]
        return self.op("MatMulIntegerToFloat", *inputs, domain="com.microsoft")

    def _positive(self, peaks: str) -> str:
        return self.op("Max", peaks, self._float(SMALLEST))

    def _share(self, peaks: str, levels: int) -> str:
        return self.op("Mul", peaks, self._float(1 / levels))

    def _float(self, value: float) -> str:
        return self.array(f"float_{value}", np.array(value, dtype=np.float32))


def smooth(weight: Matrix, peaks: Scores) -> tuple[Scores, Int8Matrix, Matrix]:
    """Move the size of large columns of the activations to the weights, and quantize these.

    Some columns of a layer normalization's output are far larger than the others and would leave them few levels. The
    exponent 1/2 gives activations and weights an equal share of the difficulty.

    Args:
        weight: (outputs, hidden).
        peaks: largest absolute activations (hidden,).

    Returns:
        smoothing (hidden,), by which activations are divided; int8 weights (outputs, hidden) and their scales
        (outputs, 1), for the divided activations.

    Source: SmoothQuant, Xiao et al. 2022, arXiv:2211.10438.
    """
    largest = np.abs(weight).max(axis=0)
    smoothing = np.sqrt(np.maximum(peaks, SMALLEST) / np.maximum(largest, SMALLEST)).astype(np.float32)
    return smoothing, *quantize_rows(weight * smoothing)


def row_sums(weight: Int8Matrix, scales: Matrix) -> Scores:
    """Return the sum of each row of an int8 matrix with scales (rows, 1), float32 (rows,)."""
    sums: Scores = (weight.sum(axis=1, dtype=np.int64) * scales[:, 0]).astype(np.float32)
    return sums
