r"""Patterns of `like`: `%` stands for any characters and `_` for one; `\%`, `\_` and `\\` stand for `%`, `_` and `\`.

They are matched here because the LIKE of SQLite ignores the case of ASCII letters and ends a text at a zero character.
"""

import re
from functools import lru_cache

_ELEMENT = re.compile(r"\\(.)|(.)", re.DOTALL)


def literal_prefix(pattern: str) -> str:
    """Return the characters before the first wildcard of a pattern, with which every match begins."""
    prefix = ""
    for escaped, plain in _ELEMENT.findall(pattern):
        if plain in ("%", "_"):
            break
        prefix += escaped or plain
    return prefix


def literal_characters(pattern: str) -> str:
    """Return the characters of a pattern that are no wildcards."""
    return "".join(escaped or plain for escaped, plain in _ELEMENT.findall(pattern) if plain not in ("%", "_"))


def matches_pattern(text: str, pattern: str) -> bool:
    """Tell whether a text matches a pattern; case counts."""
    (first, _), *others = _compile(pattern)
    if not others:
        return first.fullmatch(text) is not None
    found = first.match(text)
    # The leftmost match of a part leaves most characters to the parts behind it, so no choice has to be taken back.
    for part, _ in others[:-1]:
        found = part.search(text, found.end()) if found else None
    last, length = others[-1]
    start = len(text) - length
    return found is not None and start >= found.end() and last.fullmatch(text, start) is not None


@lru_cache(256)
def _compile(pattern: str) -> tuple[tuple[re.Pattern[str], int], ...]:
    """Return the parts of a pattern between its `%`, and the number of characters that each of them matches."""
    parts: list[list[str]] = [[]]
    for escaped, plain in _ELEMENT.findall(pattern):
        if plain == "%":
            parts.append([])
        else:
            parts[-1].append("." if plain == "_" else re.escape(escaped or plain))
    return tuple((re.compile("".join(part), re.DOTALL), len(part)) for part in parts)
