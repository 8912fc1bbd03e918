"""Real embedding models of several families that are made in milliseconds, in sentence-transformers' layout."""

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tiny_encoder import WORDS, tiny_tokenizer
from tiny_teacher import HIDDEN, write_json
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn

POSITIONS = 64
LONGEST = 48  # special tokens and prompt included
_KIND = "sentence_transformers.models."
_BERT = {"hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_DECODER = {**_BERT, "num_key_value_heads": 2, "max_position_embeddings": POSITIONS}
_ROBERTA = {**_BERT, "max_position_embeddings": POSITIONS + 2, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def _word_pieces() -> tuple[Tokenizer, dict[str, str]]:
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return tiny_tokenizer(), names


def _sentence_pieces() -> tuple[Tokenizer, dict[str, str]]:
    """Return a tokenizer as XLM-RoBERTa's: a unigram model of pieces that begin with a space."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *(f"▁{word}" for word in WORDS), *string.ascii_lowercase, *":.,!?7"]
    tokenizer = Tokenizer(models.Unigram([(piece, -len(piece) / 10 - 1) for piece in dict.fromkeys(pieces)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer, {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}


def _bytes() -> tuple[Tokenizer, dict[str, str]]:
    """Return a tokenizer as Qwen's: byte pairs, and one special token behind a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate(["<|endoftext|>", *alphabet, "th", "the", "Ġthe"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("t", "h"), ("th", "e"), ("Ġ", "the")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", vocabulary["<|endoftext|>"])]
    )
    return tokenizer, {"pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}


# model class, configuration class, settings, tokenizer
FAMILIES: dict[str, tuple[str, str, dict[str, Any], Any]] = {
    "bert": ("BertModel", "BertConfig", _BERT | {"max_position_embeddings": POSITIONS}, _word_pieces),
    "mpnet": ("MPNetModel", "MPNetConfig", _BERT | {"max_position_embeddings": POSITIONS + 2}, _word_pieces),
    "distilbert": (
        "DistilBertModel",
        "DistilBertConfig",
        {"dim": HIDDEN, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": POSITIONS},
        _word_pieces,
    ),
    "xlm-roberta": ("XLMRobertaModel", "XLMRobertaConfig", _ROBERTA, _sentence_pieces),
    "modernbert": (
        "ModernBertModel",
        "ModernBertConfig",
        _BERT
        | {"max_position_embeddings": POSITIONS, "local_attention": 8, "global_attn_every_n_layers": 2}
        | {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
        _word_pieces,
    ),
    "qwen2": ("Qwen2Model", "Qwen2Config", _DECODER, _bytes),
    "qwen3": ("Qwen3Model", "Qwen3Config", _DECODER | {"head_dim": 8}, _bytes),
}


def make_tiny_model(
    folder: Path,
    family: str,
    *,
    pooling: str = "mean",
    dense: Sequence[tuple[int, str]] = (),
    prompts: Mapping[str, str] | None = None,
    longest: int = LONGEST,
) -> Path:
    """Write the folder of a model.

    Args:
        folder: made.
        family: a key of FAMILIES.
        pooling: as sentence-transformers names it.
        dense: width and activation class (of torch.nn.modules) of each Dense module.
        prompts: of config_sentence_transformers.json.
        longest: max_seq_length.
    """
    model_class, config_class, settings, make_tokenizer = FAMILIES[family]
    tokenizer, names = make_tokenizer()
    torch.manual_seed(3)
    config = getattr(transformers, config_class)(**settings, vocab_size=tokenizer.get_vocab_size())
    model = getattr(transformers, model_class)(config)
    with torch.no_grad():  # with the initial weights, vectors of different texts would hardly differ
        for name, tensor in model.named_parameters():
            if "LayerNorm" not in name and "norm" not in name:
                tensor.mul_(30 if "embed" in name and "position" not in name else 5)
                if name.endswith("bias"):
                    tensor.normal_(0, 0.1)
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN, "pooling_mode": pooling})
    width = HIDDEN
    for number, (out, activation) in enumerate(dense, start=2):
        linear = nn.Linear(width, out)
        path = folder / f"{number}_Dense"
        sizes = {"in_features": width, "out_features": out, "bias": True}
        write_json(path / "config.json", sizes | {"activation_function": f"torch.nn.modules.{activation}"})
        save_file({f"linear.{name}": value for name, value in linear.state_dict().items()}, path / "model.safetensors")
        modules.append((path.name, "Dense"))
        width = out
    modules.append((f"{len(modules)}_Normalize", "Normalize"))
    entries = [
        {"idx": number, "name": str(number), "path": path, "type": _KIND + kind}
        for number, (path, kind) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest})
    if prompts is not None:
        write_json(folder / "config_sentence_transformers.json", {"prompts": dict(prompts)})
    return folder


def encode_by_hand(
    folder: Path, texts: Sequence[str], *, pooling: str = "mean", activations: Sequence[Any] = (), prompt: str = ""
) -> Tensor:
    """Return the vectors of a folder's model by transformers alone, one text at a time.

    Args:
        folder: of `make_tiny_model`.
        texts: none is longer than the model allows.
        pooling: mean, cls or lasttoken.
        activations: torch functions of the Dense modules.
        prompt: set before each text.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    vectors = []
    for text in texts:
        ids = tokenizer(prompt + text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        pooled = {"mean": hidden.mean(0), "cls": hidden[0], "lasttoken": hidden[-1]}[pooling]
        for number, activation in enumerate(activations, start=2):
            from safetensors.torch import load_file

            weights = load_file(folder / f"{number}_Dense" / "model.safetensors")
            pooled = activation(weights["linear.weight"] @ pooled + weights["linear.bias"])
        vectors.append(pooled / pooled.norm())
    return torch.stack(vectors)
