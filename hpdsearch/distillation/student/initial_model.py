"""The model that a student starts from: a BERT-like folder, a hub model or an encoder folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpdsearch.common.files import parse_json
from hpdsearch.common.vectors import Matrix
from hpdsearch.distillation.export.model_card import UNKNOWN_LICENSE, read_license
from hpdsearch.encoder.bert import (
    HEAD,
    HEAD_BIAS,
    N_SPECIAL_TOKENS,
    POSITION_EMBEDDINGS,
    RELATIVE_BIAS,
    count_layers,
    encoder_tensors,
)
from hpdsearch.encoder.folder import (
    CARD,
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    built_in_names,
    find_folder,
    read_card,
    verify_files,
)
from hpdsearch.encoder.weights import load_weights
from hpdsearch.errors import DistillError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class InitialModel:
    """A BERT-like Transformer.

    Attributes:
        name: of the folder, of the built-in encoder or of the hub model.
        tensors: float32, under the names of an encoder's model.safetensors; "head.weight" only if it has a head.
        n_heads: attention heads per layer.
        epsilon: of the layer normalizations.
        tokenizer: it adds one special token before and one after a text.
        max_tokens: tokens of text in a window, without special tokens.
        space: id of the space that its head maps into; None without a head.
        license: as its model card states it.
    """

    name: str
    tensors: dict[str, Matrix]
    n_heads: int
    epsilon: float
    tokenizer: "Tokenizer"
    max_tokens: int
    space: str | None
    license: str = UNKNOWN_LICENSE

    @property
    def hidden(self) -> int:
        """The width of the Transformer."""
        return int(self.tensors[POSITION_EMBEDDINGS].shape[1])


def load_initial_model(name_or_folder: str | Path, *, max_tokens: int = 256) -> InitialModel:
    """Load the model that a student starts from.

    Args:
        name_or_folder: a built-in encoder, an encoder folder, a BERT folder as transformers saves it, or a name on the
            Hugging Face hub.
        max_tokens: largest window of the student. A shorter position table limits it; an encoder folder sets its own.

    Raises:
        DistillError: there is no such model, it is not BERT-like, or its tokenizer does not add two special tokens.
        EncoderError: an encoder folder is corrupt.
    """
    if str(name_or_folder) in built_in_names() or (Path(name_or_folder) / CARD).is_file():
        return _load_encoder(find_folder(name_or_folder))
    return _load_transformers(str(name_or_folder), max_tokens)


def _load_encoder(folder: Path) -> InitialModel:
    from tokenizers import Tokenizer

    card = read_card(folder)
    verify_files(folder, card)
    config = parse_json((folder / CONFIG).read_bytes())
    if config.get("model_type") != "bert":
        raise DistillError(f"{folder}: expected a Transformer as the student, got a {config.get('model_type')} encoder")
    tokenizer = _reset_tokenizer(Tokenizer.from_file(str(folder / TOKENIZER)), card.name)
    tensors = load_weights(folder / WEIGHTS)
    is_adopted = card.query_prompt or card.document_prompt or "pooling" in config
    if is_adopted or {RELATIVE_BIAS, HEAD_BIAS} & tensors.keys():
        raise DistillError(
            f"{folder}: expected a student with mean pooling, without prompts, relative positions and a bias of the "
            "head, got one that was adopted from a model with them; take another student, such as base"
        )
    return InitialModel(
        name=card.name,
        tensors=tensors,
        n_heads=config["num_attention_heads"],
        epsilon=config["layer_norm_eps"],
        tokenizer=tokenizer,
        max_tokens=card.max_tokens,
        space=card.space,
        license=read_license(folder),
    )


def _load_transformers(name: str, max_tokens: int) -> InitialModel:
    from hpdsearch.distillation.teacher.folder import find_teacher_folder, open_transformer

    try:
        folder = find_teacher_folder(name)
        model, tokenizer = open_transformer(folder)
    except Exception as error:  # transformers raises a dozen types without a common base class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DistillError(
            f"student {name}: expected a built-in encoder ({', '.join(built_in_names())}), an encoder folder, a BERT "
            f"folder, or a model on the Hugging Face hub, got: {reason}"
        ) from error
    config: Any = model.config
    activation = getattr(config, "hidden_act", None)
    if config.model_type != "bert" or activation != "gelu":
        raise DistillError(
            f"student {name}: expected a BERT-like model (model_type bert, hidden_act gelu), got "
            f"{config.model_type} with {activation}; take one like all-MiniLM-L6-v2"
        )
    fast = _reset_tokenizer(tokenizer.backend_tokenizer, name)
    bert = {key: value.numpy() for key, value in model.state_dict().items()}
    max_tokens = min(max_tokens, len(bert[POSITION_EMBEDDINGS]) - N_SPECIAL_TOKENS)
    tensors = encoder_tensors(bert, np.zeros((1, config.hidden_size), dtype=np.float32), max_tokens=max_tokens)
    del tensors[HEAD]
    return InitialModel(
        name=Path(name).name,
        tensors=tensors,
        n_heads=config.num_attention_heads,
        epsilon=config.layer_norm_eps,
        tokenizer=fast,
        max_tokens=max_tokens,
        space=None,
        license=read_license(folder),
    )


def _reset_tokenizer(tokenizer: "Tokenizer", name: str) -> "Tokenizer":
    """Disable truncation and padding, which the tokenizer of all-MiniLM-L6-v2 enables, and return the tokenizer."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if (found := len(tokenizer.encode("").ids)) != N_SPECIAL_TOKENS:
        raise DistillError(
            f"student {name}: expected a tokenizer that adds one special token before a text and one after, "
            f"got {found} special tokens"
        )
    return tokenizer


def select_layers(init_model: InitialModel, layers: int | tuple[int, ...]) -> dict[str, Matrix]:
    """Return the tensors of a model with some of its layers, renumbered from 0.

    Args:
        init_model: the model.
        layers: a count, evenly spaced from the first layer to the last (3 of 6: 0, 2, 5), or layer numbers.

    Raises:
        DistillError: the model does not have these layers.
    """
    n_layers = count_layers(init_model.tensors)
    if isinstance(layers, int):
        if not 1 <= layers <= n_layers:
            raise DistillError(f"layers: expected 1..{n_layers} (layers of {init_model.name}), got {layers}")
        layers = tuple(round(number) for number in np.linspace(0, n_layers - 1, layers)) if layers > 1 else (0,)
    if not layers or not all(0 <= number < n_layers for number in layers):
        raise DistillError(f"layers: expected numbers in 0..{n_layers - 1} (layers of {init_model.name}), got {layers}")
    kept = {name: tensor for name, tensor in init_model.tensors.items() if not name.startswith("encoder.layer.")}
    for new, old in enumerate(layers):
        prefix = f"encoder.layer.{old}."
        kept |= {
            f"encoder.layer.{new}.{name.removeprefix(prefix)}": tensor
            for name, tensor in init_model.tensors.items()
            if name.startswith(prefix)
        }
    return kept
