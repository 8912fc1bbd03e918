"""Token ids and character spans of texts, by a tokenizer.json without truncation or padding."""

import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hpdsearch.common.forks import call_in_child
from hpdsearch.errors import EncoderError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Span = tuple[int, int]

_WORD = re.compile(r"\w+")
_UNKNOWN = ("[UNK]", "<unk>")  # the tokens of what a vocabulary does not have


class TextTokenizer:
    """A tokenizer that never truncates; may be used from several threads at once."""

    def __init__(self, tokenizer: "Tokenizer", path: Path) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._path = path

    @classmethod
    def load(cls, path: Path) -> "TextTokenizer":
        """Read a tokenizer.json.

        Raises:
            EncoderError: the library tokenizers cannot read the file.
        """
        _allow_threads()
        from tokenizers import Tokenizer

        try:
            return cls(Tokenizer.from_file(str(path)), path)
        except Exception as error:  # tokenizers raises Exception itself
            raise EncoderError(
                f"{path}: tokenizers cannot load it: {error}; copy or make the encoder folder again"
            ) from error

    @classmethod
    def wrap(cls, tokenizer: "Tokenizer") -> "TextTokenizer":
        """Return a tokenizer that is loaded already; it does not truncate or pad any more."""
        return cls(tokenizer, Path())

    def special_tokens(self) -> tuple[list[int], list[int]]:
        """Return the ids of the special tokens before and after every window, as BERT's [CLS] and [SEP]."""
        encoding = self._tokenizer.encode("a")
        is_special = encoding.special_tokens_mask
        first = is_special.index(0)
        last = len(is_special) - is_special[::-1].index(0)
        return encoding.ids[:first], encoding.ids[last:]

    def count_prompt(self, prompt: str) -> int:
        """Return the number of tokens that a prompt makes before a text, without the one that it shares with it."""
        offsets = self._tokenizer.encode(f"{prompt}a", add_special_tokens=False).offsets
        return sum(end <= len(prompt) for _, end in offsets)

    def ids(self, texts: Sequence[str], *, prompt: str = "") -> list[list[int]]:
        """Return the token ids of each text with the prompt before it, without special tokens."""
        prompted = [prompt + text for text in texts] if prompt else texts
        encodings = self._tokenizer.encode_batch_fast(prompted, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the (start, end) characters of each text's tokens, in their order, without special tokens."""
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [encoding.offsets for encoding in encodings]

    def known_words(self, text: str) -> set[str]:
        """Return the words of a text, runs of letters and digits, that are one token of the vocabulary."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        unknown = {self._tokenizer.token_to_id(name) for name in _UNKNOWN}
        words = list(_WORD.finditer(text))
        ends = [word.end() for word in words]
        tokens: list[list[int]] = [[] for _ in words]
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            number = bisect_right(ends, start)  # of the first word that the token may be in
            while number < len(words) and words[number].start() < end:
                tokens[number].append(token)
                number += 1
        is_known = [len(of_word) == 1 and of_word[0] not in unknown for of_word in tokens]
        return {word[0] for word, known in zip(words, is_known, strict=True) if known}


@cache
def _allow_threads() -> None:
    """Let tokenizers use threads in this process but not in a forked child, which has no threads and would hang.

    Otherwise tokenizers prints a warning at every fork. A value that the user has set holds in this process only.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    call_in_child(lambda: os.environ.update(TOKENIZERS_PARALLELISM="false"))
