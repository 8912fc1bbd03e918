"""The tree of a parsed filter: comparisons of fields with literals, joined by `and`, `or` and `not`."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from hpdsearch.catalog.dates import DateSpan

Literal: TypeAlias = str | float | bool | DateSpan | None


class Op(str, Enum):
    """How a field is compared with a literal."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    LIKE = "like"
    CONTAINS = "contains"
    STARTS_WITH = "starts with"


TEXT_OPS = frozenset({Op.LIKE, Op.CONTAINS, Op.STARTS_WITH})


class OwnField(Enum):
    """A field that every document has beside its metadata; the value is its column in table documents."""

    ID = "doc_id"
    TITLE = "title"
    TEXT = "text"
    SOURCE = "source"


OWN_FIELDS = {"id": OwnField.ID, "doc_id": OwnField.ID} | {own.value: own for own in OwnField}

Field: TypeAlias = str | OwnField


@dataclass(frozen=True)
class Comparison:
    """A field compared with a literal.

    Attributes:
        field: a metadata field, or a field of the document itself.
        op: the operator; Op.LIKE reads `value` as a pattern (hpdsearch.catalog.patterns).
        value: the literal.
        position: index of the field's first character in the filter.
        value_position: index of the literal's first character.
    """

    field: Field
    op: Op
    value: Literal
    position: int
    value_position: int


@dataclass(frozen=True)
class Member:
    """A field that must equal one of some literals; positions as in Comparison."""

    field: Field
    values: tuple[Literal, ...]
    position: int
    value_positions: tuple[int, ...]


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
