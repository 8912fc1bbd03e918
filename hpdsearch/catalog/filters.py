"""Filters on metadata, `year >= 2020 and lang = "en"`: read into a tree, turned into SQL with bound parameters.

What a filter sees of a document are its attributes: one (field, text, number) for each value in the metadata. Nested
fields are joined with dots, a list counts as each of its members, null counts as absent. `text` is the value as it is
written; `number` is there for numbers and for strings that are written like one, since CSV knows no numbers. It is a
64-bit float: integers of more than 15 digits are told apart only as text, `id = "9007199254740993"`.
"""

import json
import math
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
class Member:
    """field in (values); `position` as in Comparison."""

    field: str
    values: tuple[Literal, ...]
    position: int


@dataclass(frozen=True)
class Not:
    """Every document that `inner` does not match."""

    inner: "Filter"


@dataclass(frozen=True)
class Both:
    """Every one of two or more parts."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class Either:
    """At least one of two or more parts."""

    parts: tuple["Filter", ...]


Filter: TypeAlias = Comparison | Member | Not | Both | Either

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
# SQLite's bounds: its parser keeps 100 symbols (before 3.46; up to six a level), an expression is 1,000 levels deep
# (two a comparison in a chain), a statement has 32,766 parameters.
_MAX_DEPTH = 10
_MAX_COMPARISONS = 300
_MAX_LITERALS = 10_000


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
        self.n_comparisons = 0
        self.n_literals = 0

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
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        return Either(tuple(parts)) if len(parts) > 1 else parts[0]

    def _both(self) -> Filter:
        parts = [self._factor()]
        while self._take_word("and"):
            parts.append(self._factor())
        return Both(tuple(parts)) if len(parts) > 1 else parts[0]

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
        self.n_comparisons += 1
        if self.n_comparisons > _MAX_COMPARISONS:
            raise self._error(position, f'more than {_MAX_COMPARISONS} comparisons; join those of a field with "in"')
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
        values = [self._literal()]
        while self._take(","):
            values.append(self._literal())
        if not self._take(")"):
            raise self._expected('"," or ")"')
        return Member(field, tuple(values), position)

    def _literal(self) -> Literal:
        token = self._peek()
        self.n_literals += 1
        if self.n_literals > _MAX_LITERALS:
            raise self._error(token.position, f"more than {_MAX_LITERALS} literals")
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
        return error_at(self.text, position, message)


def error_at(text: str, position: int, message: str) -> FilterError:
    """Return an error that shows the filter with a mark under one character."""
    line = re.sub(r"\s", " ", text)
    return FilterError(f"where: character {position + 1}: {message}\n  {line}\n  {' ' * position}^")


def iter_comparisons(tree: Filter) -> Iterator[Comparison | Member]:
    """Yield the comparisons of a filter from left to right."""
    if isinstance(tree, (Comparison, Member)):
        yield tree
    else:
        for part in (tree.inner,) if isinstance(tree, Not) else tree.parts:
            yield from iter_comparisons(part)


def flatten_metadata(metadata: Mapping[str, Any]) -> list[Attribute]:
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
        number = value.strip()  # float() itself strips fewer characters
        yield field, value, _to_float(number) if _NUMERIC.fullmatch(number) else None
    elif isinstance(value, bool):
        yield field, json.dumps(value), None
    elif value is not None:
        yield field, json.dumps(value), _to_float(value)


def _to_float(number: float | str) -> float:
    """As float(), but an integer beyond its range is infinite, as a string of the same digits is."""
    try:
        return float(number) + 0.0  # SQLite knows no -0.0
    except OverflowError:
        return math.copysign(math.inf, 1 if int(number) > 0 else -1)


def to_sql(tree: Filter, *, negated: bool = False) -> tuple[str, list[Any]]:
    """Return an SQL condition on documents.doc over attributes(field, text, number, doc), and its parameters."""
    if isinstance(tree, Not):
        return to_sql(tree.inner, negated=not negated)
    if isinstance(tree, (Both, Either)):
        word = "AND" if isinstance(tree, Both) is not negated else "OR"
        conditions = [to_sql(part, negated=negated) for part in tree.parts]
        sql = f" {word} ".join(f"({condition})" for condition, _ in conditions)
        return sql, [parameter for _, parameters in conditions for parameter in parameters]
    if isinstance(tree, Member):
        return _among(tree.field, tree.values, negated)
    if tree.op in (Op.EQ, Op.NE):
        return _among(tree.field, (tree.value,), negated is not (tree.op is Op.NE))
    column = "text" if isinstance(tree.value, str) else "number"
    return _documents(f"{column} {tree.op.value} ?", negated), [tree.field, tree.value]


def _among(field: str, values: tuple[Literal, ...], negated: bool) -> tuple[str, list[Any]]:
    """Return the condition that one of the field's attributes equals one of the values (null: that it has none)."""
    words = [json.dumps(value) if isinstance(value, bool) else value for value in values]
    conditions: list[str] = []
    parameters: list[Any] = []
    for column, some in (
        ("text", [word for word in words if isinstance(word, str)]),
        ("number", [word for word in words if isinstance(word, float)]),
    ):
        if some:
            conditions.append(_documents(f"{column} IN ({','.join('?' * len(some))})", negated))
            parameters += [field, *some]
    if None in words:
        conditions.append(_documents("TRUE", not negated))
        parameters.append(field)
    return (" AND " if negated else " OR ").join(conditions), parameters


def _documents(condition: str, negated: bool) -> str:
    return f"documents.doc {'NOT ' * negated}IN (SELECT doc FROM attributes WHERE field = ? AND {condition})"
