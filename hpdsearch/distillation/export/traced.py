"""The encoder folder of a Transformer that is no relative of BERT: its graph is exported by torch.

The graph takes windows of equal length without a mask, as that of distilled encoders, and its weights are in
model.safetensors. They are stored in int8 with a scale for each output, and the arithmetic is float32, as there.
"""

import json
import logging
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.export.onnx_graph import external_tensors
from hpdsearch.distillation.export.quantize import Int8Matrix, quantize_rows
from hpdsearch.distillation.spec import Precision
from hpdsearch.distillation.teacher.folder import PoolingMode, TeacherFolder
from hpdsearch.encoder.folder import CONFIG, MODEL, TOKENIZER, WEIGHTS, EncoderType, write_encoder
from hpdsearch.encoder.weights import SCALE
from hpdsearch.errors import DistillError, require_extra

EXAMPLE = (2, 16)  # texts and tokens that the graph is recorded with; both may vary afterwards
MIN_SIZE = 1024  # numbers of a matrix that is worth int8 rows
OUTPUT = "embeddings"


class WindowEncoder(nn.Module):
    """A teacher with a projection, as one module: windows of equal length to unit vectors."""

    def __init__(self, model: nn.Module, parts: TeacherFolder, components: Matrix) -> None:
        super().__init__()
        self.model = model
        self.head = parts.head
        self.components = nn.Parameter(torch.from_numpy(np.ascontiguousarray(components)), requires_grad=False)
        self._pooling = parts.pooling

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return unit vectors (n, dim) of token ids (n, tokens)."""
        mask = torch.ones_like(input_ids)
        hidden = self.model(input_ids=input_ids, attention_mask=mask).last_hidden_state.float()
        pooled = torch.cat([_pool(mode, hidden, mask) for mode in self._pooling], dim=1)
        return functional.normalize(functional.linear(self.head(pooled), self.components))


def _pool(mode: PoolingMode, hidden: Tensor, mask: Tensor) -> Tensor:
    if mode is PoolingMode.CLS:
        return hidden[:, 0]
    return hidden[:, -1] if mode is PoolingMode.LAST else mode(hidden, mask)


def export_traced(
    folder: Path,
    module: WindowEncoder,
    *,
    name: str,
    space: str,
    architecture: str,
    tokenizer: Any,
    pad_id: int,
    max_tokens: int,
    longest: int,
    precision: Precision,
    query_prompt: str,
    document_prompt: str,
) -> Path:
    """Write the encoder folder of a model whose graph torch records.

    Args:
        folder: created if missing.
        module: on the CPU, in float32.
        name: of the encoder.
        space: id of its space.
        architecture: model_type of the model, for information.
        tokenizer: of the library tokenizers.
        pad_id: see `split_into_windows`.
        max_tokens: tokens of text in a window.
        longest: largest number of tokens in a window, special tokens and prompt included.
        precision: storage type of the matrices.
        query_prompt: set before every query.
        document_prompt: set before every passage.

    Raises:
        DistillError: torch cannot export the model.
        MissingExtraError: onnxscript is not installed.
    """
    from safetensors.numpy import save

    require_extra("onnxscript", extra="distill", feature=f"adopting a model of the architecture {architecture}")
    with TemporaryDirectory() as temporary:
        graph = _record(module, Path(temporary), longest=longest, architecture=architecture)
        tensors = _take_weights(graph.graph, Path(temporary), precision)
    stored = save(dict(sorted(tensors.items())))
    graph.graph.initializer.extend(external_tensors(stored))
    config = {
        "model_type": EncoderType.ONNX.value,
        "architecture": architecture,
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": pad_id,
    }
    contents = {
        WEIGHTS: stored,
        MODEL: graph.SerializeToString(deterministic=True),
        CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
        TOKENIZER: tokenizer.to_str().encode(),
    }
    return write_encoder(
        folder,
        contents,
        name=name,
        dim=len(module.components),
        max_tokens=max_tokens,
        space=space,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        needs_format_2=True,
    )


def _record(module: WindowEncoder, folder: Path, *, longest: int, architecture: str) -> Any:
    """Return the ONNX model of a module; large tensors are in files of the folder."""
    import onnx

    ids = torch.ones((EXAMPLE[0], min(EXAMPLE[1], longest)), dtype=torch.int64)
    shapes = {"input_ids": {0: torch.export.Dim("n"), 1: torch.export.Dim("tokens", max=longest)}}
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (ids,),
                input_names=["input_ids"],
                output_names=[OUTPUT],
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            program.save(folder / MODEL, external_data=True)
    except Exception as error:  # torch raises many types for models that it cannot record
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DistillError(
            f"{architecture}: torch {torch.__version__} cannot export this architecture ({reason}); use a model of "
            "another architecture, or distill one from it with hpdsearch distill"
        ) from error
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
    model = onnx.load(folder / MODEL, load_external_data=False)
    _forget_origin(model)
    return model


def _forget_origin(model: Any) -> None:
    """Remove the notes on where each part came from, which contain paths of this machine."""
    for one in (model, model.graph, *model.functions, *model.graph.node, *model.graph.value_info):
        one.doc_string = ""
        del one.metadata_props[:]
    for one in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        one.doc_string = ""
        del one.metadata_props[:]


def _take_weights(graph: Any, folder: Path, precision: Precision) -> dict[str, np.ndarray]:
    """Remove the large weights from a graph and return them by name, matrices as int8 rows and their scales."""
    from onnx import TensorProto, external_data_helper, numpy_helper

    taken: dict[str, np.ndarray] = {}
    kept = []
    for tensor in list(graph.initializer):
        if tensor.data_location == TensorProto.EXTERNAL:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < MIN_SIZE:
            kept.append(tensor)
            continue
        axis = _output_axis(graph, tensor.name) if precision is Precision.INT8 and values.ndim == 2 else None
        if axis is None:
            taken[tensor.name] = values
        else:
            taken[tensor.name], taken[tensor.name + SCALE] = _quantize(values, axis)
            _multiply_by_scales(graph, tensor.name)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return taken


def _output_axis(graph: Any, name: str) -> int | None:
    """Return the axis of a matrix whose entries get a scale each: that of its outputs; None if the use is unknown."""
    axes = {_axis_of_use(node, list(node.input).index(name)) for node in graph.node if name in node.input}
    return axes.pop() if len(axes) == 1 else None


def _axis_of_use(node: Any, position: int) -> int | None:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Gather" and position == 0:
        return 0 if "axis" not in attributes or attributes["axis"].i == 0 else None
    if node.op_type == "MatMul" and position == 1:
        return 1
    if node.op_type == "Gemm" and position == 1:
        return 0 if "transB" in attributes and attributes["transB"].i else 1
    return 0 if node.op_type == "Transpose" else None


def _quantize(values: Matrix, axis: int) -> tuple[Int8Matrix, Matrix]:
    if axis == 0:
        return quantize_rows(values)
    rows, scales = quantize_rows(values.T)
    return np.ascontiguousarray(rows.T), np.ascontiguousarray(scales.T)


def _multiply_by_scales(graph: Any, name: str) -> None:
    """Let a graph multiply an int8 matrix by its scales: looked-up rows after the look-up, all others once."""
    from onnx import TensorProto, helper

    users = [node for node in graph.node if name in node.input]
    if all(node.op_type == "Gather" for node in users):
        for number, node in enumerate(users):
            at = list(graph.node).index(node)
            rows, cast, scales = (f"{name}.{part}.{number}" for part in ("rows", "cast", "scales"))
            output = node.output[0]
            new = [
                helper.make_node("Gather", [name, node.input[1]], [rows]),
                helper.make_node("Cast", [rows], [cast], to=TensorProto.FLOAT),
                helper.make_node("Gather", [name + SCALE, node.input[1]], [scales]),
                helper.make_node("Mul", [cast, scales], [output]),
            ]
            graph.node.remove(node)
            for one in reversed(new):
                graph.node.insert(at, one)
        return
    # onnxruntime computes the product once per session, because it depends on no input.
    scaled = f"{name}.scaled"
    for node in users:
        for position, of_node in enumerate(node.input):
            if of_node == name:
                node.input[position] = scaled
    graph.node.insert(0, helper.make_node("Mul", [f"{name}.cast", name + SCALE], [scaled]))
    graph.node.insert(0, helper.make_node("Cast", [name], [f"{name}.cast"], to=TensorProto.FLOAT))
