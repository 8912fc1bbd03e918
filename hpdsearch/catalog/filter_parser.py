"""Parse a filter, `year >= 2020 and lang = "en"`, into a tree. filter_sql.py turns the tree into SQL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hpdsearch.catalog.dates import DateSpan, parse_date_span
from hpdsearch.catalog.filter_tree import (
    OWN_FIELDS,
    TEXT_OPS,
    Both,
    Comparison,
    Either,
    Field,
    Filter,
    Literal,
    Member,
    Not,
    Op,
)
from hpdsearch.errors import FilterError

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.|"")*"|'(?:[^'\\]|\\.|'')*')
    | (?P<date>(?:\d{{4}}|[+-]\d{{4,6}})-\d[\w:.+\-]*)
    | (?P<number>{NUMBER})(?![\w.])
    | (?P<op><=|>=|!=|<>|==|=|<|>)
    | (?P<mark>[(),])
    | (?P<own>@\w*)
    | (?P<name>`(?:[^`]|``)+`|[^\W\d][\w.\-]*)
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
    kind: str  # string, date, number, op, mark, own, name, end
    text: str
    position: int


def parse_filter(text: str) -> Filter:
    """Parse a filter; docs/filters.md describes the language.

    Grammar: comparisons joined by `or`, `and`, `not` and parentheses. A comparison is `field OP literal` (= == != <> <
    <= > >=), `field [not] in (a, b)`, `field is [not] null`, or `field [not] like "text"`, with `contains` and `starts
    with` in place of `like`. Literals are "text", 'text', numbers, true, false, null, dates such as 2024-01-31 and
    2024-01-31T12:30Z, and date "2024-01-31 12:30". `!=` matches every document that `=` does not match.

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
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise self._error(error.start, "expected Unicode text, got a byte that is not UTF-8") from None
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
        position = self._peek().position
        field = self._parse_field()
        self._count_comparison(position)
        if self._take_keyword("is"):
            op = Op.NE if self._take_keyword("not") else Op.EQ
            literal = self._peek()
            if not self._take_keyword("null"):
                raise self._unexpected('"null"')
            return Comparison(field, op, None, position, literal.position)
        if self._take_keyword("not"):
            return Not(self._parse_word_comparison(field, position, '"in", "like", "contains" or "starts with"'))
        if self._peek().kind != "op":
            return self._parse_word_comparison(
                field, position, "an operator (= != < <= > >= in is like contains starts with)"
            )
        op = _OPS[self._peek().text]
        self.at += 1
        literal = self._peek()
        value = self._parse_literal()
        if op not in (Op.EQ, Op.NE) and (value is None or isinstance(value, bool)):
            raise self._error(literal.position, f"{op.value} expects a number, a string or a date, got {literal.text}")
        return Comparison(field, op, value, position, literal.position)

    def _count_comparison(self, position: int) -> None:
        self.n_comparisons += 1
        if self.n_comparisons > _MAX_COMPARISONS:
            raise self._error(position, f'more than {_MAX_COMPARISONS} comparisons; join those of a field with "in"')

    def _parse_field(self) -> Field:
        token = self._peek()
        if token.kind == "own":
            if token.text[1:] not in OWN_FIELDS:
                raise self._unexpected("one of " + ", ".join(f"@{name}" for name in OWN_FIELDS))
            self.at += 1
            return OWN_FIELDS[token.text[1:]]
        if token.kind != "name" or token.text.lower() in _KEYWORDS:
            raise self._unexpected('a field, "not" or "("')
        self.at += 1
        return token.text[1:-1].replace("``", "`") if token.text[0] == "`" else token.text

    def _parse_word_comparison(self, field: Field, position: int, expected: str) -> Filter:
        """Parse the operator and the rest of a comparison whose operator is a word."""
        if self._take_keyword("in"):
            return self._parse_members(field, position)
        for op in TEXT_OPS:
            start = self.at
            if all(self._take_keyword(word) for word in op.value.split()):
                value_position = self._peek().position
                return Comparison(field, op, self._parse_text(op), position, value_position)
            self.at = start
        raise self._unexpected(expected)

    def _parse_text(self, op: Op) -> str:
        """Parse the string behind a word operator; a pattern keeps its backslashes."""
        token = self._peek()
        if token.kind != "string":
            raise self._unexpected(f'a string for "{op.value}"')
        value = str(self._parse_literal())
        quote = token.text[0]
        return token.text[1:-1].replace(quote * 2, quote) if op is Op.LIKE else value

    def _parse_members(self, field: Field, position: int) -> Filter:
        if not self._take("("):
            raise self._unexpected('"("')
        positions = [self._peek().position]
        values = [self._parse_literal()]
        while self._take(","):
            positions.append(self._peek().position)
            values.append(self._parse_literal())
        if not self._take(")"):
            raise self._unexpected('"," or ")"')
        for value, value_position in zip(values, positions, strict=True):
            if isinstance(value, DateSpan):  # SQL compares each of them on its own
                self._count_comparison(value_position)
        return Member(field, tuple(values), position, tuple(positions))

    def _parse_literal(self) -> Literal:
        token = self._peek()
        self.n_literals += 1
        if self.n_literals > _MAX_LITERALS:
            raise self._error(token.position, f"more than {_MAX_LITERALS} literals")
        self.at += 1
        if token.kind == "name" and token.text.lower() == "date" and self._peek().kind == "string":
            self.at += 1
            return self._read_date(self.tokens[self.at - 1].position, _unquote(self.tokens[self.at - 1].text))
        if token.kind == "string":
            return _unquote(token.text)
        if token.kind == "date":
            return self._read_date(token.position, token.text)
        if token.kind == "number":
            return float(token.text)
        if token.kind == "name" and token.text.lower() in _CONSTANTS:
            return _CONSTANTS[token.text.lower()]
        self.at -= 1
        raise self._unexpected('a literal ("text", number, date, true, false, null)')

    def _read_date(self, position: int, text: str) -> DateSpan:
        span = parse_date_span(text)
        if span is None:
            expected = "a date such as 2024-01-31, 2024-01-31T12:30 or 2024-01-31T12:30:00+02:00"
            raise self._error(position, f"expected {expected}, got {text!r}")
        return span

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


def _unquote(text: str) -> str:
    """Return the string of a quoted literal: `\\x` stands for x, a doubled quote for a quote."""
    return re.sub(rf"\\(.)|{text[0]}({text[0]})", r"\1\2", text[1:-1], flags=re.DOTALL)


def error_at(text: str, position: int, message: str) -> FilterError:
    """Return an error that shows the filter and a mark under the character at a position."""
    line = re.sub(r"\s", " ", text.encode(errors="replace").decode())
    return FilterError(f"where: character {position + 1}: {message}\n  {line}\n  {' ' * position}^")
