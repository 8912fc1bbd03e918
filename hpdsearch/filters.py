"""Filters on metadata, `year >= 2020 and lang = "en"`: read into a tree, turned into SQL with bound parameters.

What a filter sees of a document are its attributes: one (field, text, number) for each value in the metadata. Nested
fields are joined with dots, a list counts as each of its members, null counts as absent. `text` is the value as it is
written; `number` is there for numbers and for strings that are written like one, since CSV knows no numbers.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from hpdsearch.errors import FilterError

Literal: TypeAlias = str | float | bool | None
Attribute: TypeAlias = tuple[str, str, float | None]  # field, text, number


class Op(str, Enum):
    """How a field is compared with a literal."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True)
class Comparison:
    """field op literal; `position` is the character of the field in the filter's text."""

    field: str
    op: Op
    value: Literal
    position: int


@dataclass(frozen=True)
class Not:
    """Every document that `inner` does not match."""

    inner: "Filter"


@dataclass(frozen=True)
class Both:
    """left and right."""

    left: "Filter"
    right: "Filter"


@dataclass(frozen=True)
class Either:
    """left or right."""

    left: "Filter"
    right: "Filter"


Filter: TypeAlias = Comparison | Not | Both | Either

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>{_NUMBER})(?![\w.])
    | (?P<op><=|>=|!=|<>|==|=|<|>)
    | (?P<mark>[(),])
    | (?P<name>`[^`]+`|[^\W\d][\w.\-]*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMERIC = re.compile(_NUMBER)
_OPS = {"==": Op.EQ, "<>": Op.NE} | {op.value: op for op in Op}
_WORDS = {"true": True, "false": False, "null": None}
_KEYWORDS = {"and", "or", "not", "in", "is"}
_MAX_DEPTH = 100


@dataclass(frozen=True)
class _Token:
    kind: str  # string, number, op, mark, name, end
    text: str
    position: int


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Grammar: `or`, `and`, `not`, parentheses over `field OP literal` (= == != <> < <= > >=), `field [not] in (a, b)` and
    `field is [not] null`. Literals: "text", 'text', numbers, true, false, null. A field with other characters than
    letters, digits, `_`, `-` and `.` stands in `backquotes`. `!=` matches every document that `=` does not.

    Raises:
        FilterError: not such an expression; the message points at the character.
    """
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.at = 0
        self.depth = 0

    def parse(self) -> Filter:
        result = self._either()
        if self._peek().kind != "end":
            raise self._expected('"and", "or" or the end')
        return result

    def _tokens(self) -> Iterator[_Token]:
        position = 0
        while self.text[position:].strip():
            match = _TOKEN.match(self.text, position)
            if match is None:
                position += len(self.text[position:]) - len(self.text[position:].lstrip())
                what = "a closing quote" if self.text[position] in "\"'`" else "a field, an operator or a literal"
                raise self._error(position, f"expected {what}, got {self.text[position:][:20]!r}")
            kind = str(match.lastgroup)
            yield _Token(kind, match[kind], match.start(kind))
            position = match.end()
        yield _Token("end", "the end", len(self.text))

    def _either(self) -> Filter:
        left = self._both()
        while self._take_word("or"):
            left = Either(left, self._both())
        return left

    def _both(self) -> Filter:
        left = self._factor()
        while self._take_word("and"):
            left = Both(left, self._factor())
        return left

    def _factor(self) -> Filter:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._error(self._peek().position, f"nested deeper than {_MAX_DEPTH} levels")
        try:
            if self._take_word("not"):
                return Not(self._factor())
            if self._take("("):
                inner = self._either()
                if not self._take(")"):
                    raise self._expected('")"')
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> Filter:
        token = self._peek()
        if token.kind != "name" or token.text.lower() in _KEYWORDS:
            raise self._expected('a field, "not" or "("')
        self.at += 1
        field, position = token.text.strip("`"), token.position
        if self._take_word("is"):
            negated = self._take_word("not")
            if not self._take_word("null"):
                raise self._expected('"null"')
            return Comparison(field, Op.NE if negated else Op.EQ, None, position)
        if self._take_word("not"):
            if not self._take_word("in"):
                raise self._expected('"in"')
            return Not(self._members(field, position))
        if self._take_word("in"):
            return self._members(field, position)
        operator = self._peek()
        if operator.kind != "op":
            raise self._expected("an operator (= != < <= > >= in is)")
        self.at += 1
        op, literal = _OPS[operator.text], self._peek()
        value = self._literal()
        if op not in (Op.EQ, Op.NE) and (value is None or isinstance(value, bool)):
            raise self._error(literal.position, f"{op.value} expects a number or a string, got {literal.text}")
        return Comparison(field, op, value, position)

    def _members(self, field: str, position: int) -> Filter:
        if not self._take("("):
            raise self._expected('"("')
        result: Filter = Comparison(field, Op.EQ, self._literal(), position)
        while self._take(","):
            result = Either(result, Comparison(field, Op.EQ, self._literal(), position))
        if not self._take(")"):
            raise self._expected('"," or ")"')
        return result

    def _literal(self) -> Literal:
        token = self._peek()
        self.at += 1
        if token.kind == "string":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        if token.kind == "number":
            return float(token.text)
        if token.kind == "name" and token.text.lower() in _WORDS:
            return _WORDS[token.text.lower()]
        self.at -= 1
        raise self._expected('a literal ("text", number, true, false, null)')

    def _peek(self) -> _Token:
        return self.tokens[self.at]

    def _take(self, mark: str) -> bool:
        found = self._peek().kind == "mark" and self._peek().text == mark
        self.at += found
        return found

    def _take_word(self, word: str) -> bool:
        found = self._peek().kind == "name" and self._peek().text.lower() == word
        self.at += found
        return found

    def _expected(self, what: str) -> FilterError:
        token = self._peek()
        got = token.text if token.kind == "end" else repr(token.text)
        return self._error(token.position, f"expected {what}, got {got}")

    def _error(self, position: int, message: str) -> FilterError:
        return point_at(self.text, position, message)


def point_at(text: str, position: int, message: str) -> FilterError:
    """Return an error that shows the filter with a mark under one character."""
    line = re.sub(r"\s", " ", text)
    return FilterError(f"where: character {position + 1}: {message}\n  {line}\n  {' ' * position}^")


def comparisons(tree: Filter) -> Iterator[Comparison]:
    """Yield the comparisons of a filter from left to right."""
    if isinstance(tree, Comparison):
        yield tree
    elif isinstance(tree, Not):
        yield from comparisons(tree.inner)
    else:
        yield from comparisons(tree.left)
        yield from comparisons(tree.right)


def attributes_of(metadata: Mapping[str, Any]) -> list[Attribute]:
    """Return the attributes of one document, without repetitions, sorted."""
    return sorted(set(_flatten("", metadata)), key=lambda attribute: attribute[:2])


def _flatten(field: str, value: Any) -> Iterator[Attribute]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(f"{field}.{key}" if field else str(key), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flatten(field, inner)
    elif isinstance(value, str):
        yield field, value, float(value) if _NUMERIC.fullmatch(value.strip()) else None
    elif isinstance(value, bool):
        yield field, json.dumps(value), None
    elif value is not None:
        yield field, json.dumps(value), float(value)


def to_sql(tree: Filter) -> tuple[str, list[Any]]:
    """Return an SQL condition on documents.doc over attributes(field, text, number, doc), and its parameters."""
    if isinstance(tree, Not):
        sql, parameters = to_sql(tree.inner)
        return f"NOT ({sql})", parameters
    if isinstance(tree, (Both, Either)):
        left, first = to_sql(tree.left)
        right, second = to_sql(tree.right)
        return f"({left}) {'AND' if isinstance(tree, Both) else 'OR'} ({right})", first + second
    if tree.op is Op.NE:
        sql, parameters = to_sql(Comparison(tree.field, Op.EQ, tree.value, tree.position))
        return f"NOT ({sql})", parameters
    if tree.value is None:
        return "documents.doc NOT IN (SELECT doc FROM attributes WHERE field = ?)", [tree.field]
    value = json.dumps(tree.value) if isinstance(tree.value, bool) else tree.value
    column = "text" if isinstance(value, str) else "number"
    sql = f"documents.doc IN (SELECT doc FROM attributes WHERE field = ? AND {column} {tree.op.value} ?)"
    return sql, [tree.field, value]
