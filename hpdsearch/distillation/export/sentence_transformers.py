"""The sentence-transformers modules of an encoder. All are standard modules, so opening it does not need hpdsearch.

    Transformer, Pooling (mean), Dense (the head), Normalize          a Transformer
    StaticEmbedding, Normalize                                        a static encoder

Each module has a sub-folder of its own, so the modules may lie beside the files of the encoder. Three differences
remain: weights are float32; sentence-transformers truncates a text after max_tokens tokens, while hpdsearch reads it in
windows; and StaticEmbedding returns zeros for a text without tokens.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.common.files import atomic_write, parse_json
from hpdsearch.common.vectors import Matrix
from hpdsearch.encoder import Backend, Encoder
from hpdsearch.encoder.bert import (
    HEAD,
    HEAD_BIAS,
    POSITION_EMBEDDINGS,
    RELATIVE_BIAS,
    TYPE_EMBEDDINGS,
    WORD_EMBEDDINGS,
    Pooling,
    count_layers,
)
from hpdsearch.encoder.folder import CONFIG, TOKENIZER, WEIGHTS, EncoderType, find_folder
from hpdsearch.encoder.static_backend import TABLE
from hpdsearch.encoder.weights import load_weights
from hpdsearch.errors import EncoderError

MODULES = "modules.json"
Files = dict[str, bytes]


def write_sentence_transformers(
    name_or_folder: str | Path, output: Path | None = None, *, dim: int | None = None
) -> Path:
    """Write the modules with which `sentence_transformers.SentenceTransformer(output)` returns an encoder's vectors.

    Args:
        name_or_folder: a built-in encoder, or an encoder folder.
        output: created if missing; None for the encoder folder itself, which both libraries can then open.
        dim: truncate the vectors to this many dimensions; None for all.

    Returns:
        The folder.

    Raises:
        EncoderError: the encoder cannot be loaded or was adopted from a model that is no BERT, dim is too large, or
            output is not empty.
    """
    # Nothing is encoded, so the backend need not be chosen by a measurement.
    encoder = Encoder.load(name_or_folder, dim=dim, backend=Backend.ONNX)
    folder = find_folder(name_or_folder)
    if output is not None and output.exists() and not output.is_dir():
        raise EncoderError(f"{output}: expected a folder, found a file; choose another folder")
    if output is not None and output.is_dir() and any(output.iterdir()):
        raise EncoderError(f"{output}: expected a new or empty folder, found files in it; choose another folder")
    output = output or folder
    modules = list(
        _static_modules(folder, encoder)
        if encoder.kind is EncoderType.STATIC
        else _transformer_modules(folder, encoder)
    )
    entries = []
    for number, (kind, files) in enumerate(modules):
        module_folder = output / f"{number}_{kind}"
        module_folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with atomic_write(module_folder / name) as file:
                file.write(content)
        module_type = f"sentence_transformers.models.{kind}"
        entries.append({"idx": number, "name": str(number), "path": module_folder.name, "type": module_type})
    prompts = {"query": encoder.query_prompt, "document": encoder.document_prompt}
    prompts = prompts if any(prompts.values()) else {}
    settings: dict[str, Any] = {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    for name, value in (("config_sentence_transformers.json", settings), (MODULES, entries)):
        with atomic_write(output / name) as file:
            file.write(_dump_json(value))
    return output


def _static_modules(folder: Path, encoder: Encoder) -> Iterator[tuple[str, Files]]:
    """Yield the class name and the files of each module of a static encoder."""
    table = load_weights(folder / WEIGHTS)[TABLE][:, : encoder.dim]
    yield "StaticEmbedding", {WEIGHTS: _save_weights({TABLE: table}), TOKENIZER: (folder / TOKENIZER).read_bytes()}
    yield "Normalize", {CONFIG: _dump_json({})}


def _transformer_modules(folder: Path, encoder: Encoder) -> Iterator[tuple[str, Files]]:
    """Yield the class name and the files of each module of a Transformer."""
    tensors = load_weights(folder / WEIGHTS)
    if encoder.kind is not EncoderType.BERT or RELATIVE_BIAS in tensors:
        raise EncoderError(
            f"{folder}: was adopted from a model that is no BERT, so it cannot be exported; give sentence-transformers "
            "that model"
        )
    head = tensors.pop(HEAD)[: encoder.dim]
    head_bias = tensors.pop(HEAD_BIAS, None)
    hidden = head.shape[1]
    # The position embeddings include token type 0. The pooler is unused, but transformers warns if it is missing.
    tensors |= {TYPE_EMBEDDINGS: np.zeros((2, hidden), dtype=np.float32)}
    tensors |= {"pooler.dense.weight": np.zeros((hidden, hidden), dtype=np.float32)}
    tensors |= {"pooler.dense.bias": np.zeros(hidden, dtype=np.float32)}
    length = len(tensors[POSITION_EMBEDDINGS])
    pad_token, pad_id = _find_padding(folder / TOKENIZER)
    config = parse_json((folder / CONFIG).read_bytes())
    pooling = {Pooling.MEAN: "mean_tokens", Pooling.CLS: "cls_token"}[Pooling(config.pop("pooling", "mean"))]
    config |= {
        "architectures": ["BertModel"],
        "intermediate_size": len(tensors["encoder.layer.0.intermediate.dense.weight"]),
        "max_position_embeddings": len(tensors[POSITION_EMBEDDINGS]),
        "num_hidden_layers": count_layers(tensors),
        "pad_token_id": pad_id,
        "torch_dtype": "float32",
        "type_vocab_size": 2,
        "vocab_size": len(tensors[WORD_EMBEDDINGS]),
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": length,
        "pad_token": pad_token,
        "clean_up_tokenization_spaces": False,
    }
    yield (
        "Transformer",
        {
            WEIGHTS: _save_weights(tensors),
            CONFIG: _dump_json(config),
            TOKENIZER: (folder / TOKENIZER).read_bytes(),
            "tokenizer_config.json": _dump_json(tokenizer),
            "sentence_bert_config.json": _dump_json({"max_seq_length": length, "do_lower_case": False}),
        },
    )
    yield "Pooling", {CONFIG: _dump_json({"word_embedding_dimension": hidden, f"pooling_mode_{pooling}": True})}
    dense = {
        "in_features": hidden,
        "out_features": len(head),
        "bias": head_bias is not None,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    linear = {"linear.weight": head} | ({} if head_bias is None else {"linear.bias": head_bias[: encoder.dim]})
    yield "Dense", {CONFIG: _dump_json(dense), WEIGHTS: _save_weights(linear)}
    yield "Normalize", {CONFIG: _dump_json({})}


def _find_padding(path: Path) -> tuple[str, int]:
    """Return the padding token and its id. Any token will do, because padding is masked."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    last: str = tokenizer.encode("").tokens[-1]
    token = next((token for token in ("[PAD]", "<pad>") if token in vocabulary), last)
    return token, vocabulary[token]


def _save_weights(tensors: dict[str, Matrix]) -> bytes:
    from safetensors.numpy import save

    # transformers rejects files without this metadata.
    content: bytes = save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, {"format": "pt"})
    return content


def _dump_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
