"""Parse a filter on metadata, `year >= 2020 and lang = "en"`, into a tree. filter_sql.py turns the tree into SQL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from hpdsearch.errors import FilterError

Literal: TypeAlias = str | float | bool | None


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
    """A field compared with a literal; `position` is the index of the field's first character in the filter."""

    field: str
    op: Op
    value: Literal
    position: int


@dataclass(frozen=True)
class Member:
    """A field that must equal one of some literals; `position` as in Comparison."""

    field: str
    values: tuple[Literal, ...]
    position: int


@dataclass(frozen=True)
class Not:
    """Negation: matches the documents that `inner` does not match."""

    inner: "Filter"


@dataclass(frozen=True)
class Both:
    """Conjunction: matches the documents that all operands match."""

    operands: tuple["Filter", ...]


@dataclass(frozen=True)
class Either:
    """Disjunction: matches the documents that at least one operand matches."""

    operands: tuple["Filter", ...]


Filter: TypeAlias = Comparison | Member | Not | Both | Either

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>{NUMBER})(?![\w.])
    | (?P<op><=|>=|!=|<>|==|=|<|>)
    | (?P<mark>[(),])
    | (?P<name>`[^`]+`|[^\W\d][\w.\-]*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPS = {"==": Op.EQ, "<>": Op.NE} | {op.value: op for op in Op}
_CONSTANTS = {"true": True, "false": False, "null": None}
_KEYWORDS = {"and", "or", "not", "in", "is"}
# Limits of SQLite: the parser's stack holds 100 symbols (before 3.46; a level takes up to six), an expression tree has
# 1,000 levels (a chain takes two for each comparison), and a statement has 32,766 parameters.
_MAX_DEPTH = 10
_MAX_COMPARISONS = 300
_MAX_LITERALS = 10_000


@dataclass(frozen=True)
class _Token:
    kind: str  # string, number, op, mark, name, end
    text: str
    position: int


def parse_filter(text: str) -> Filter:
    """Parse a filter.

    Grammar: comparisons joined by `or`, `and`, `not` and parentheses. A comparison is `field OP literal` (= == != <> <
    <= > >=), `field [not] in (a, b)` or `field is [not] null`. Literals are "text", 'text', numbers, true, false, null.
    A field name with characters other than letters, digits, `_`, `-` and `.` is written in `backquotes`. `!=` matches
    every document that `=` does not match.

    Raises:
        FilterError: the text does not follow the grammar; the message points at the character.
    """
    return _Parser(text).parse()


class _Parser:
    """Parses the tokens of one filter by recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokenize())
        self.at = 0
        self.depth = 0
        self.n_comparisons = 0
        self.n_literals = 0

    def parse(self) -> Filter:
        result = self._parse_either()
        if self._peek().kind != "end":
            raise self._unexpected('"and", "or" or the end')
        return result

    def _tokenize(self) -> Iterator[_Token]:
        position = 0
        while self.text[position:].strip():
            match = _TOKEN.match(self.text, position)
            if match is None:
                position += len(self.text[position:]) - len(self.text[position:].lstrip())
                expected = "a closing quote" if self.text[position] in "\"'`" else "a field, an operator or a literal"
                raise self._error(position, f"expected {expected}, got {self.text[position:][:20]!r}")
            kind = str(match.lastgroup)
            yield _Token(kind, match[kind], match.start(kind))
            position = match.end()
        yield _Token("end", "the end", len(self.text))

    def _parse_either(self) -> Filter:
        operands = [self._parse_both()]
        while self._take_keyword("or"):
            operands.append(self._parse_both())
        return Either(tuple(operands)) if len(operands) > 1 else operands[0]

    def _parse_both(self) -> Filter:
        operands = [self._parse_factor()]
        while self._take_keyword("and"):
            operands.append(self._parse_factor())
        return Both(tuple(operands)) if len(operands) > 1 else operands[0]

    def _parse_factor(self) -> Filter:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._error(self._peek().position, f"nested deeper than {_MAX_DEPTH} levels")
        try:
            if self._take_keyword("not"):
                return Not(self._parse_factor())
            if self._take("("):
                inner = self._parse_either()
                if not self._take(")"):
                    raise self._unexpected('")"')
                return inner
            return self._parse_comparison()
        finally:
            self.depth -= 1

    def _parse_comparison(self) -> Filter:
        token = self._peek()
        if token.kind != "name" or token.text.lower() in _KEYWORDS:
            raise self._unexpected('a field, "not" or "("')
        self.at += 1
        field = token.text.strip("`")
        position = token.position
        self.n_comparisons += 1
        if self.n_comparisons > _MAX_COMPARISONS:
            raise self._error(position, f'more than {_MAX_COMPARISONS} comparisons; join those of a field with "in"')
        if self._take_keyword("is"):
            negated = self._take_keyword("not")
            if not self._take_keyword("null"):
                raise self._unexpected('"null"')
            return Comparison(field, Op.NE if negated else Op.EQ, None, position)
        if self._take_keyword("not"):
            if not self._take_keyword("in"):
                raise self._unexpected('"in"')
            return Not(self._parse_members(field, position))
        if self._take_keyword("in"):
            return self._parse_members(field, position)
        operator = self._peek()
        if operator.kind != "op":
            raise self._unexpected("an operator (= != < <= > >= in is)")
        self.at += 1
        op = _OPS[operator.text]
        literal = self._peek()
        value = self._parse_literal()
        if op not in (Op.EQ, Op.NE) and (value is None or isinstance(value, bool)):
            raise self._error(literal.position, f"{op.value} expects a number or a string, got {literal.text}")
        return Comparison(field, op, value, position)

    def _parse_members(self, field: str, position: int) -> Filter:
        if not self._take("("):
            raise self._unexpected('"("')
        values = [self._parse_literal()]
        while self._take(","):
            values.append(self._parse_literal())
        if not self._take(")"):
            raise self._unexpected('"," or ")"')
        return Member(field, tuple(values), position)

    def _parse_literal(self) -> Literal:
        token = self._peek()
        self.n_literals += 1
        if self.n_literals > _MAX_LITERALS:
            raise self._error(token.position, f"more than {_MAX_LITERALS} literals")
        self.at += 1
        if token.kind == "string":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        if token.kind == "number":
            return float(token.text)
        if token.kind == "name" and token.text.lower() in _CONSTANTS:
            return _CONSTANTS[token.text.lower()]
        self.at -= 1
        raise self._unexpected('a literal ("text", number, true, false, null)')

    def _peek(self) -> _Token:
        return self.tokens[self.at]

    def _take(self, mark: str) -> bool:
        found = self._peek().kind == "mark" and self._peek().text == mark
        self.at += found
        return found

    def _take_keyword(self, keyword: str) -> bool:
        found = self._peek().kind == "name" and self._peek().text.lower() == keyword
        self.at += found
        return found

    def _unexpected(self, expected: str) -> FilterError:
        token = self._peek()
        got = token.text if token.kind == "end" else repr(token.text)
        return self._error(token.position, f"expected {expected}, got {got}")

    def _error(self, position: int, message: str) -> FilterError:
        return error_at(self.text, position, message)


def error_at(text: str, position: int, message: str) -> FilterError:
    """Return an error that shows the filter and a mark under the character at a position."""
    line = re.sub(r"\s", " ", text)
    return FilterError(f"where: character {position + 1}: {message}\n  {line}\n  {' ' * position}^")


def iter_comparisons(tree: Filter) -> Iterator[Comparison | Member]:
    """Yield the comparisons of a filter from left to right."""
    if isinstance(tree, (Comparison, Member)):
        yield tree
    else:
        for operand in (tree.inner,) if isinstance(tree, Not) else tree.operands:
            yield from iter_comparisons(operand)
