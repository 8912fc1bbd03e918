"""Filters of requests: they must not tell where documents come from."""

from hpdsearch.catalog.filter_parser import parse_filter
from hpdsearch.catalog.filter_tree import OWN_FIELDS, Both, Either, Filter, Not, OwnField
from hpdsearch.errors import FilterError
from hpdsearch.index import Index


def refuse_source(where: str | None, index: Index) -> None:
    """Check that a filter does not compare sources, which are paths of the machine.

    Raises:
        FilterError: it compares `@source`, or cannot be parsed.
    """
    if where is not None and "source" in where.lower() and _names_source(parse_filter(where), index):
        raise FilterError("where: @source cannot be used here, because it holds paths of the server")


def _names_source(tree: Filter, index: Index) -> bool:
    if isinstance(tree, Not):
        return _names_source(tree.inner, index)
    if isinstance(tree, Both | Either):
        return any(_names_source(operand, index) for operand in tree.operands)
    if isinstance(tree.field, OwnField):
        return tree.field is OwnField.SOURCE
    # A bare name stands for the own field where no document has a metadata field of that name.
    return OWN_FIELDS.get(tree.field) is OwnField.SOURCE and tree.field not in index.fields()
