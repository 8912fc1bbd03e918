"""docs/encoder-format.md describes the built-in encoders and their space: keys, files, tensors and the ONNX graph."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from hpdsearch.encoder import Backend, EncoderType, built_in_names
from hpdsearch.encoder.folder import BUILT_IN, FORMAT, find_folder, read_encoder_type

PAGE = (Path(__file__).parents[2] / "docs" / "encoder-format.md").read_text(encoding="utf-8")
SPACES = sorted((BUILT_IN / "spaces").iterdir())
DTYPES = {"F32": "float32", "I8": "int8"}


def section(heading: str) -> str:
    """Return the text below a heading of the page, up to the next heading."""
    return re.split(r"^#+ .*\n", PAGE.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, header: str) -> Iterator[list[str]]:
    """Return the cells of the table in the text whose first column has this header."""
    for line in text.split(f"| {header} |", 1)[1].split("\n")[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def code(text: str) -> list[str]:
    """Return the inline code of a text."""
    return re.findall(r"`([^`]+)`", text)


def documented_files(kind: EncoderType) -> set[str]:
    column = 1 if kind is EncoderType.BERT else 2
    return {code(cells[0])[0] for cells in rows(section("Encoder"), "file") if cells[column] == "yes"}


def documented_config(kind: EncoderType) -> set[str]:
    heading = "A Transformer" if kind is EncoderType.BERT else "A static encoder"
    sentence = section(heading).split("has these keys: ", 1)[1].split(".", 1)[0]
    return {name for name in code(sentence) if name not in ("bert", "static", "gelu", "dim")}


def documented_tensors(kind: EncoderType, sizes: dict[str, int]) -> dict[str, tuple[list[int], str]]:
    heading = "A Transformer" if kind is EncoderType.BERT else "A static encoder"
    tensors = {}
    for names, shape, dtype in rows(section(heading), "tensor"):
        extents = [eval(extent, {}, sizes) for extent in shape.strip("()").split(",")]
        for name in code(names):
            for number in range(sizes["n_layers"] if ".N." in name else 1):
                real_name = name.replace(".N.", f".{number}.")
                tensors[real_name] = (extents, dtype)
                if dtype == "int8":
                    tensors[f"{real_name}.scale"] = ([extents[0], 1], "float32")
    return tensors


@pytest.mark.parametrize("name", built_in_names())
def test_files_and_keys_are_those_of_the_page(name: str) -> None:
    folder = find_folder(name)
    kind = read_encoder_type(folder)
    files = documented_files(kind)
    optional = {"model.int8.onnx"} if kind is EncoderType.BERT else set()
    assert files == {"encoder.json", *kind.files, *optional}
    if has_adapter := (folder / "query_adapter.safetensors").is_file():
        files.add("query_adapter.safetensors")
    assert files | {"README.md"} == {path.name for path in folder.iterdir()}
    card = json.loads((folder / "encoder.json").read_text())
    keys = [code(cells[0])[0] for cells in rows(section("encoder.json"), "key")]
    keys[-1:-1] = [code(cells[0])[0] for cells in rows(section("Format 2"), "key of `encoder.json`")][: 2 * has_adapter]
    assert list(card) == keys
    assert card["format"] == (3 if has_adapter else 1)
    assert set(card["sha256"]) == files - {"encoder.json"}
    config = json.loads((folder / "config.json").read_text())
    assert set(config) == documented_config(kind)
    assert config["model_type"] == kind.value


@pytest.mark.parametrize("name", built_in_names())
def test_query_adapters_are_those_of_the_page(name: str) -> None:
    path = find_folder(name) / "query_adapter.safetensors"
    if not path.is_file():
        return
    card = json.loads((find_folder(name) / "encoder.json").read_text())
    tensors = load_file(path)
    assert list(tensors) == [code(cells[0])[0] for cells in rows(section("Format 3"), "tensor")]
    assert {(tensor.dtype.name, tensor.shape) for tensor in tensors.values()} == {("float32", (card["dim"],))}
    assert tensors["scale"].mean() == pytest.approx(1)


@pytest.mark.parametrize("name", built_in_names())
def test_tensors_are_those_of_the_page(name: str) -> None:
    folder = find_folder(name)
    kind = read_encoder_type(folder)
    card = json.loads((folder / "encoder.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    with safe_open(folder / "model.safetensors", "np") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  (safe_open is no mapping)
        found = {key: (one.get_shape(), DTYPES[one.get_dtype()]) for key, one in slices.items()}
    sizes = {key: config[key] for key in ("vocab_size", "hidden_size")}
    sizes |= {"dim": card["dim"], "max_tokens": card["max_tokens"], "n_layers": config.get("num_hidden_layers", 0)}
    if kind is EncoderType.BERT:
        sizes["intermediate"] = found["encoder.layer.0.intermediate.dense.bias"][0][0]
    assert found == documented_tensors(kind, sizes)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (name, file)
        for name in built_in_names()
        for file in ("model.onnx", "model.int8.onnx")
        if (find_folder(name) / file).exists()
    ],
)
def test_the_onnx_graphs_are_those_of_the_page(name: str, file: str) -> None:
    model = onnx.load(find_folder(name) / file, load_external_data=False)
    text = section("A Transformer")
    match = re.search(r"maps `(\w+)` int64 \(n, tokens\) to `(\w+)` float32 \(n, dim\)", text)
    assert match
    assert [value.name for value in model.graph.input] == [match[1]]
    assert [value.name for value in model.graph.output] == [match[2]]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert f"ONNX opset {next(one.version for one in model.opset_import if not one.domain)}" in text
    foreign = {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain}
    described = {"com.microsoft.MultiHeadAttention"}
    if file == "model.int8.onnx":
        described.add("com.microsoft.MatMulIntegerToFloat")
    assert foreign == described <= set(code(text))
    external = {tensor.name for tensor in model.graph.initializer if tensor.external_data}
    with safe_open(find_folder(name) / "model.safetensors", "np") as weights:
        assert external <= set(weights.keys())
        assert file != "model.onnx" or external == set(weights.keys())


@pytest.mark.parametrize("folder", SPACES, ids=lambda folder: folder.name)
def test_the_space_is_that_of_the_page(folder: Path) -> None:
    text = section("Space")
    assert {code(cells[0])[0] for cells in rows(text, "file")} == {path.name for path in folder.iterdir()}
    fields = json.loads((folder / "space.json").read_text())
    assert list(fields) == [code(cells[0])[0] for cells in rows(text, "key of `space.json`")]
    with safe_open(folder / "projection.safetensors", "np") as file:
        assert list(file.keys()) == ["components"]
        components = file.get_tensor("components")
    assert components.dtype == np.float32
    assert components.shape == (fields["dim"], fields["teacher_dim"])
    lengths = np.linalg.norm(components.astype(np.float64), axis=1)
    np.testing.assert_allclose(
        (components / lengths[:, None]) @ (components / lengths[:, None]).T, np.eye(len(lengths)), atol=1e-5
    )
    match = re.search(r"lengths of the rows are ([\d.]+) to ([\d.]+)\.", text)
    assert match
    assert (lengths.min(), lengths.max()) == pytest.approx((float(match[1]), float(match[2])), abs=0.005)


def test_formats_and_backends_are_those_of_the_page() -> None:
    for heading, header, formats in (("encoder.json", "key", [1, 2, FORMAT]), ("Space", "key of `space.json`", [1])):
        (value,) = (cells[1] for cells in rows(section(heading), header) if cells[0] == "`format`")
        assert [int(number) for number in re.findall(r"\b\d\b", value.partition(" if ")[0])] == formats
    backends = [code(cells[0])[0] for cells in rows(section("Backends"), "`backend`")]
    assert sorted(backends) == sorted(backend.value for backend in Backend)
