"""Vocabulary trimming: only the pieces that a corpus uses and the single characters stay."""

import json
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from hpdsearch.common.files import parse_json
from hpdsearch.common.vectors import Matrix
from hpdsearch.errors import DistillError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BLOCK = 4096  # texts tokenized at once
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # kept even where tokenizer.json does not declare them


def trim_vocabulary(
    tokenizer: "Tokenizer", word_embeddings: Matrix, texts: Iterable[str]
) -> tuple["Tokenizer", Matrix, list[int]]:
    """Remove the pieces that no text uses.

    Special tokens and single characters stay. WordPiece matches the longest piece first, so these texts are tokenized
    as before; other texts may be split into smaller pieces. A token that was unknown ([UNK]) may become known, never
    the reverse.

    Args:
        tokenizer: a WordPiece tokenizer; left unchanged.
        word_embeddings: (at least the vocabulary, hidden), a row per token id.
        texts: the corpus; each text is read once.

    Returns:
        A tokenizer without truncation and padding, the rows of its pieces, and their ids in the old tokenizer,
        ascending.

    Raises:
        DistillError: the tokenizer is not WordPiece, or word_embeddings has too few rows.
    """
    from tokenizers import Tokenizer

    if len(word_embeddings) < tokenizer.get_vocab_size():
        raise DistillError(
            f"word embeddings: expected a row for each of {tokenizer.get_vocab_size()} pieces, got "
            f"{len(word_embeddings)}"
        )
    full = Tokenizer.from_str(tokenizer.to_str())
    full.no_truncation()
    full.no_padding()
    fields = parse_json(full.to_str())
    model = fields["model"]
    if model["type"] != "WordPiece":
        raise DistillError(
            f"vocabulary: only a WordPiece tokenizer can be trimmed, got {model['type']}; run without --trim-vocabulary"
        )
    kept = sorted(_required_ids(fields) | _used_ids(full, texts))
    new_ids = {old: new for new, old in enumerate(kept)}
    model["vocab"] = {piece: new_ids[old] for piece, old in model["vocab"].items() if old in new_ids}
    for token in fields["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(fields["post_processor"] or {}, new_ids)
    return Tokenizer.from_str(json.dumps(fields)), word_embeddings[kept], kept


def _required_ids(fields: dict[str, Any]) -> set[int]:
    """Return the ids of special and added tokens and of single characters, with and without the prefix."""
    model = fields["model"]
    special = {*BERT_TOKENS, model["unk_token"], *_special_tokens(fields["post_processor"] or {})}
    prefix = model["continuing_subword_prefix"]
    added = {token["id"] for token in fields["added_tokens"]}
    return added | {
        number for piece, number in model["vocab"].items() if piece in special or len(piece.removeprefix(prefix)) == 1
    }


def _used_ids(tokenizer: "Tokenizer", texts: Iterable[str]) -> set[int]:
    used: set[int] = set()
    iterator = iter(texts)
    while block := list(islice(iterator, BLOCK)):
        for encoding in tokenizer.encode_batch_fast(block, add_special_tokens=False):
            used.update(encoding.ids)
    return used


def _special_tokens(processor: dict[str, Any]) -> set[str]:
    """Return the tokens that a post-processor adds: a template, BERT's own, or a sequence of such."""
    tokens = {token for special in processor.get("special_tokens", {}).values() for token in special["tokens"]}
    tokens |= {processor[key][0] for key in ("cls", "sep") if key in processor}
    return tokens.union(*map(_special_tokens, processor.get("processors", ())))


def _renumber(processor: dict[str, Any], new_ids: dict[int, int]) -> None:
    """Give the tokens of a post-processor their new ids."""
    for special in processor.get("special_tokens", {}).values():
        special["ids"] = [new_ids[old] for old in special["ids"]]
    for key in ("cls", "sep"):
        if key in processor:
            processor[key][1] = new_ids[processor[key][1]]
    for inner in processor.get("processors", ()):
        _renumber(inner, new_ids)
