"""Real teachers that are made in milliseconds: two seeded Transformer layers in sentence-transformers' layout."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_encoder import tiny_tokenizer
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel, PreTrainedTokenizerFast

HIDDEN = 32
MAX_TOKENS = 24
POSITIONS = 40
_KIND = "sentence_transformers.models."
_SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": 0,
}


def make_tiny_teacher(
    folder: Path,
    *,
    mpnet: bool = False,
    seed: int = 0,
    pooling: dict[str, Any] | None = None,
    dense: tuple[int, str] | None = None,
    prompt: str | None = None,
    max_tokens: int | None = MAX_TOKENS,
    lower_case: bool = False,
) -> Path:
    """Write a sentence-transformers folder.

    Args:
        folder: made.
        mpnet: MPNet instead of BERT.
        seed: of the weights.
        pooling: content of the Pooling module's config.json; None for the mean.
        dense: width and activation class (of torch.nn.modules) of a Dense module.
        prompt: the default prompt.
        max_tokens: max_seq_length.
        lower_case: do_lower_case.
    """
    make_plain_teacher(folder, mpnet=mpnet, seed=seed)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    config = {"word_embedding_dimension": HIDDEN, **(pooling or {"pooling_mode_mean_tokens": True})}
    write_json(folder / "1_Pooling" / "config.json", config)
    if dense:
        modules.append(("2_Dense", "Dense"))
        width, activation = dense
        linear = torch.nn.Linear(HIDDEN, width)
        sizes = {"in_features": HIDDEN, "out_features": width, "bias": True}
        write_json(
            folder / "2_Dense" / "config.json", sizes | {"activation_function": f"torch.nn.modules.{activation}"}
        )
        weights = {f"linear.{name}": tensor for name, tensor in linear.state_dict().items()}
        save_file(weights, folder / "2_Dense" / "model.safetensors")
    modules.append((f"{len(modules)}_Normalize", "Normalize"))
    entries = [
        {"idx": number, "name": str(number), "path": path, "type": _KIND + kind}
        for number, (path, kind) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": lower_case})
    prompts = {"prompts": {"text": prompt, "other": "not this "}, "default_prompt_name": "text"} if prompt else {}
    write_json(folder / "config_sentence_transformers.json", {"__version__": {}, **prompts})
    return folder


def make_plain_teacher(folder: Path, *, mpnet: bool = False, seed: int = 0) -> Path:
    """Write a transformers folder; its longest input is POSITIONS tokens."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    sizes = _SIZES | {"vocab_size": tokenizer.get_vocab_size()}
    if mpnet:  # its position table starts after the position of the padding
        model = MPNetModel(MPNetConfig(**sizes, max_position_embeddings=POSITIONS + 2))
    else:
        model = BertModel(BertConfig(**sizes, max_position_embeddings=POSITIONS))
    with torch.no_grad():  # with the initial weights the vectors of words would hardly differ
        model.embeddings.word_embeddings.weight.mul_(30)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    return folder


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
