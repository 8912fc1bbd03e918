"""A real encoder that is made in milliseconds: two seeded Transformer layers over words and letters."""

import hashlib
import string
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from hpdsearch.distillation.export.static import export_static
from hpdsearch.distillation.export.transformer import export_encoder
from hpdsearch.distillation.spec import Precision

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_WORDS = """
    the a of and in to is on for with cat dog bird fish tree house river sea ship star moon sun rain snow wind fire
    stone gold iron king queen man woman child book song war peace red green blue big small old new runs sleeps sings
"""
WORDS = _WORDS.split()
N_LAYERS, N_HEADS, HIDDEN, INNER = 2, 4, 32, 64
MAX_TOKENS = 20
EPSILON = 1e-12


def make_tiny_encoder(
    folder: Path,
    *,
    dim: int = 16,
    space_seed: int = 0,
    precision: Precision = Precision.FLOAT32,
    max_tokens: int = MAX_TOKENS,
    query_prompt: str = "",
    document_prompt: str = "",
) -> Path:
    """Write an encoder folder of seeded random weights; another seed gives another space with other vectors.

    Prompts may have up to 4 tokens.
    """
    return export_encoder(
        folder,
        name="tiny",
        space=tiny_space(space_seed),
        bert=tiny_bert(max_tokens),
        head=np.random.default_rng(space_seed).normal(size=(dim, HIDDEN)).astype(np.float32),
        n_heads=N_HEADS,
        layer_norm_eps=EPSILON,
        tokenizer=tiny_tokenizer(),
        max_tokens=max_tokens,
        precision=precision,
        n_prompt=4 if query_prompt or document_prompt else 0,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
    )


def make_tiny_static(
    folder: Path, *, dim: int = 16, space_seed: int = 0, precision: Precision = Precision.FLOAT32, max_tokens: int = 20
) -> Path:
    """Write the folder of a static encoder in the same space as the tiny Transformer's."""
    return export_static(
        folder,
        name="tiny-static",
        space=tiny_space(space_seed),
        table=tiny_table(dim),
        tokenizer=tiny_tokenizer(),
        max_tokens=max_tokens,
        precision=precision,
    )


def tiny_space(seed: int = 0) -> str:
    """Return the id of a space without a projection."""
    return f"sha256:{hashlib.sha256(f'tiny {seed}'.encode()).hexdigest()}"


def tiny_table(dim: int = 16) -> np.ndarray:
    """Return seeded token vectors (vocabulary, dim); those of unknown and special tokens are zero."""
    table = np.random.default_rng(3).normal(size=(tiny_tokenizer().get_vocab_size(), dim)).astype(np.float32)
    table[: len(SPECIAL)] = 0
    return table


def tiny_tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer of some words, letters and digits, lower-casing as BERT's does."""
    characters = string.ascii_lowercase + string.digits
    pieces = dict.fromkeys([*SPECIAL, *WORDS, *characters, *(f"##{c}" for c in characters), *".,;:!?'-()"])
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    specials = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=specials)
    return tokenizer


def tiny_bert(max_tokens: int = MAX_TOKENS) -> dict[str, np.ndarray]:
    """Return seeded weights under the names of BertModel.state_dict(), without a pooler."""
    rng = np.random.default_rng(7)
    shapes = {
        "embeddings.word_embeddings.weight": (tiny_tokenizer().get_vocab_size(), HIDDEN),
        "embeddings.position_embeddings.weight": (max_tokens + 8, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{number}." for number in range(N_LAYERS)):
        norms += [f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{layer}{name}.weight": (HIDDEN, HIDDEN), f"{layer}{name}.bias": (HIDDEN,)}
        shapes |= {f"{layer}intermediate.dense.weight": (INNER, HIDDEN), f"{layer}intermediate.dense.bias": (INNER,)}
        shapes |= {f"{layer}output.dense.weight": (HIDDEN, INNER), f"{layer}output.dense.bias": (HIDDEN,)}
    # Words weigh most, so that texts of different words have different vectors.
    sizes = {"word_embeddings": 1.0, "weight": 0.2, "bias": 0.05}
    weights = {
        name: rng.normal(size=shape) * next(size for part, size in sizes.items() if part in name)
        for name, shape in shapes.items()
    }
    for name in norms:
        weights |= {f"{name}.weight": rng.normal(1, 0.1, HIDDEN), f"{name}.bias": rng.normal(0, 0.1, HIDDEN)}
    return {name: weight.astype(np.float32) for name, weight in weights.items()}
