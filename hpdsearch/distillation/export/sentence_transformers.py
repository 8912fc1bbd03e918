"""An encoder as a folder that sentence-transformers opens, made of its standard modules alone.

    Transformer, Pooling (mean), Dense (the head), Normalize          a Transformer
    StaticEmbedding, Normalize                                        a static encoder

Each module has a sub-folder, so they may also lie beside the files of the encoder itself. hpdsearch is not needed to
open it. Three differences remain: weights are float32; sentence-transformers cuts a text off after max_tokens tokens
instead of reading it in windows; and its StaticEmbedding has no vector (zeros) for a text without tokens.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpdsearch.common.files import atomic_write
from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.export.onnx_graph import HEAD, POSITIONS, WORDS
from hpdsearch.distillation.export.transformer import SPECIAL_TOKENS, TYPES, count_layers
from hpdsearch.encoder import Backend, Encoder
from hpdsearch.encoder.folder import CONFIG, TOKENIZER, WEIGHTS, EncoderType, find_folder
from hpdsearch.encoder.static_backend import TABLE
from hpdsearch.encoder.weights import load_weights
from hpdsearch.errors import EncoderError

MODULES = "modules.json"
Files = dict[str, bytes]


def write_sentence_transformers(
    name_or_folder: str | Path, output: Path | None = None, *, dim: int | None = None
) -> Path:
    """Write what `sentence_transformers.SentenceTransformer(output)` opens to the vectors of an encoder.

    Args:
        name_or_folder: a built-in encoder's name, or an encoder folder.
        output: made if it is not there; None: the encoder folder itself, which can then be opened both ways.
        dim: numbers to keep of each vector; None for all.

    Returns:
        output.

    Raises:
        EncoderError: the encoder cannot be loaded, dim is too large, or output holds other files.
    """
    # Nothing is encoded, so backend auto shall not measure anything.
    encoder = Encoder.load(name_or_folder, dim=dim, backend=Backend.ONNX)
    folder = find_folder(name_or_folder)
    if output is not None and output.is_dir() and any(output.iterdir()):
        raise EncoderError(f"{output}: expected a folder that is new or empty, found files in it; choose another")
    output = output or folder
    modules = list(_static(folder, encoder) if encoder.kind is EncoderType.STATIC else _transformer(folder, encoder))
    entries = []
    for number, (kind, files) in enumerate(modules):
        place = output / f"{number}_{kind}"
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with atomic_write(place / name) as file:
                file.write(content)
        module = f"sentence_transformers.models.{kind}"
        entries.append({"idx": number, "name": str(number), "path": place.name, "type": module})
    settings: dict[str, Any] = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    for name, value in (("config_sentence_transformers.json", settings), (MODULES, entries)):
        with atomic_write(output / name) as file:
            file.write(_json(value))
    return output


def _static(folder: Path, encoder: Encoder) -> Iterator[tuple[str, Files]]:
    """Yield the kind and the files of each module of a static encoder."""
    table = load_weights(folder / WEIGHTS)[TABLE][:, : encoder.dim]
    yield "StaticEmbedding", {WEIGHTS: _weights({TABLE: table}), TOKENIZER: (folder / TOKENIZER).read_bytes()}
    yield "Normalize", {CONFIG: _json({})}


def _transformer(folder: Path, encoder: Encoder) -> Iterator[tuple[str, Files]]:
    """Yield the kind and the files of each module of a Transformer."""
    tensors = load_weights(folder / WEIGHTS)
    head = tensors.pop(HEAD)[: encoder.dim]
    hidden = head.shape[1]
    # The vector of token type 0 is in the positions already. Nobody asks the pooler, but transformers misses it.
    tensors |= {TYPES: np.zeros((2, hidden), dtype=np.float32)}
    tensors |= {"pooler.dense.weight": np.zeros((hidden, hidden), dtype=np.float32)}
    tensors |= {"pooler.dense.bias": np.zeros(hidden, dtype=np.float32)}
    length = encoder.max_tokens + SPECIAL_TOKENS
    pad_token, pad_id = _padding(folder / TOKENIZER)
    config = json.loads((folder / CONFIG).read_bytes()) | {
        "architectures": ["BertModel"],
        "intermediate_size": len(tensors["encoder.layer.0.intermediate.dense.weight"]),
        "max_position_embeddings": len(tensors[POSITIONS]),
        "num_hidden_layers": count_layers(tensors),
        "pad_token_id": pad_id,
        "torch_dtype": "float32",
        "type_vocab_size": 2,
        "vocab_size": len(tensors[WORDS]),
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
            WEIGHTS: _weights(tensors),
            CONFIG: _json(config),
            TOKENIZER: (folder / TOKENIZER).read_bytes(),
            "tokenizer_config.json": _json(tokenizer),
            "sentence_bert_config.json": _json({"max_seq_length": length, "do_lower_case": False}),
        },
    )
    yield "Pooling", {CONFIG: _json({"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True})}
    dense = {
        "in_features": hidden,
        "out_features": len(head),
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    yield "Dense", {CONFIG: _json(dense), WEIGHTS: _weights({"linear.weight": head})}
    yield "Normalize", {CONFIG: _json({})}


def _padding(path: Path) -> tuple[str, int]:
    """Return the token that fills batches up, and its id: any will do, for it is masked."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    last: str = tokenizer.encode("").tokens[-1]
    token = next((token for token in ("[PAD]", "<pad>") if token in vocabulary), last)
    return token, vocabulary[token]


def _weights(tensors: dict[str, Matrix]) -> bytes:
    from safetensors.numpy import save

    # transformers refuses files that do not say which library they are for.
    content: bytes = save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, {"format": "pt"})
    return content


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
