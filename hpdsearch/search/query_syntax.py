"""The marks of a query: "exact words", +required, -excluded (docs/searching.md).

Every text is a valid query: what does not have the form of a mark is plain text.
"""

import re
from dataclasses import dataclass

MAX_WORDS_BESIDE_QUOTES = 8  # in a longer text, quotes are those of prose: 12 queries of cacm and cisi have such ones
_END = r"(?=[.,;:!?)\]]*(?:\s|$))"
_MARK = re.compile(
    r"(?<![^\s(])"  # a mark begins a word: 5" pipes, C++, e-mail
    r"(?:(?P<quote_sign>[+-]?)\"(?P<quoted>[^\"\s](?:[^\"]*[^\"\s])?)\""
    r"|(?P<plus>\+)(?P<required>[^\W\d_]\w+(?:[^\w\s\"]\w+)*)"  # a letter and another character: not -5, +1, -l
    r"|(?P<minus>-)(?P<excluded>[^\W\d_]\w+))" + _END  # in one part: prose may hold -LRB-Ramirez
)


@dataclass(frozen=True)
class Condition:
    """Words that a document must or must not hold.

    Attributes:
        words: the words.
        is_exact: the document must hold exactly these words in this order; otherwise it may hold other forms of them.
        is_excluded: documents that hold them are left out.
    """

    words: str
    is_exact: bool = False
    is_excluded: bool = False


@dataclass(frozen=True)
class ParsedQuery:
    """A query without its marks.

    Attributes:
        text: what is encoded and scored: the query without its marks and without what they exclude.
        conditions: what the marks demand.
    """

    text: str
    conditions: tuple[Condition, ...] = ()


def parse_query(text: str) -> ParsedQuery:
    """Split a query into its text and the conditions of its marks; any text can be parsed.

    A query that would lose all of its words is plain text.
    """
    if '"' not in text and "+" not in text and "-" not in text:
        return ParsedQuery(text)
    is_prose = len(re.findall(r"\w+", _MARK.sub(" ", text))) > MAX_WORDS_BESIDE_QUOTES
    conditions: list[Condition] = []

    def take(found: re.Match[str]) -> str:
        words = str(found["quoted"] or found["required"] or found["excluded"])
        sign = found["quote_sign"] or found["plus"] or found["minus"]
        if (is_prose and not sign) or not any(map(str.isalnum, words)):
            return found[0]
        # Parts of a word such as state-of-the-art belong together.
        is_exact = found["quoted"] is not None or re.fullmatch(r"\w+", words) is None
        conditions.append(Condition(words, is_exact, sign == "-"))
        return "" if sign == "-" else words

    plain = _MARK.sub(take, text)
    if not conditions or not any(map(str.isalnum, plain)):
        return ParsedQuery(text)
    return ParsedQuery(plain, tuple(dict.fromkeys(conditions)))
