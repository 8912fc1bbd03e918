"""Vocabulary trimming: only the pieces that a corpus uses and the single characters stay."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from hpdsearch.common.files import parse_json
from hpdsearch.common.vectors import Matrix
from hpdsearch.errors import DistillError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BLOCK = 4096  # texts tokenized at once
BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")  # of byte fallback
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # kept even where tokenizer.json does not declare them


def trim_vocabulary(
    tokenizer: "Tokenizer", word_embeddings: Matrix, texts: Iterable[str], *, size: int | None = None
) -> tuple["Tokenizer", Matrix, list[int]]:
    """Remove the pieces that no text uses, or all but the most frequent ones.

    Special tokens and single characters stay. WordPiece matches the longest piece first, and Unigram takes the most
    probable pieces, so a text of which every piece stays is tokenized as before; other texts may be split into smaller
    pieces. A token that was unknown ([UNK]) may become known, never the reverse.

    Args:
        tokenizer: a WordPiece or Unigram tokenizer; left unchanged.
        word_embeddings: (at least the vocabulary, hidden), a row per token id.
        texts: the corpus; each text is read once.
        size: keep the most frequent pieces, so many with those that stay in any case; among equally frequent pieces,
            those of a smaller id. None: keep all pieces that the texts use.

    Returns:
        A tokenizer without truncation and padding, the rows of its pieces, and their ids in the old tokenizer,
        ascending.

    Raises:
        DistillError: the tokenizer is of another kind, word_embeddings has too few rows, or `size` has no room for the
            pieces that stay in any case.
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
    if model["type"] not in ("WordPiece", "Unigram"):
        raise DistillError(
            f"vocabulary: only a WordPiece or Unigram tokenizer can be trimmed, got {model['type']}; run without "
            "--trim-vocabulary"
        )
    required = _required_ids(fields)
    if size is not None and size < len(required):
        raise DistillError(
            f"vocabulary: expected at least {len(required)} tokens, the special ones and the single characters, got "
            f"{size}; give a larger --vocabulary-size"
        )
    kept = sorted(required | _frequent_ids(full, texts, required, size))
    new_ids = {old: new for new, old in enumerate(kept)}
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][old] for old in kept if old < len(model["vocab"])]
        model["unk_id"] = new_ids.get(model["unk_id"])
    else:
        model["vocab"] = {piece: new_ids[old] for piece, old in model["vocab"].items() if old in new_ids}
    for token in fields["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(fields["post_processor"] or {}, new_ids)
    return Tokenizer.from_str(json.dumps(fields)), word_embeddings[kept], kept


def _required_ids(fields: dict[str, Any]) -> set[int]:
    """Return the ids of special and added tokens and of single characters, with and without the prefix."""
    model = fields["model"]
    special = {*BERT_TOKENS, *_special_tokens(fields["post_processor"] or {})}
    added = {token["id"] for token in fields["added_tokens"]}
    pieces: Iterator[tuple[str, int]]
    if model["type"] == "Unigram":
        prefix = ""
        pieces = ((piece, number) for number, (piece, _) in enumerate(model["vocab"]))
        added |= {model["unk_id"]} - {None}
    else:
        prefix = model["continuing_subword_prefix"]
        pieces = iter(model["vocab"].items())
        special |= {model["unk_token"]}
    return added | {
        number
        for piece, number in pieces
        if piece in special or len(piece.removeprefix(prefix)) == 1 or BYTE_PIECE.fullmatch(piece)
    }


def _frequent_ids(tokenizer: "Tokenizer", texts: Iterable[str], required: set[int], size: int | None) -> set[int]:
    """Return the ids that the texts use; with a size, the most frequent ones that fit beside the required ones."""
    counts: Counter[int] = Counter()
    iterator = iter(texts)
    while block := list(islice(iterator, BLOCK)):
        for encoding in tokenizer.encode_batch_fast(block, add_special_tokens=False):
            counts.update(encoding.ids)
    if size is None:
        return set(counts)
    others = sorted(counts.keys() - required, key=lambda number: (-counts[number], number))
    return set(others[: size - len(required)])


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
