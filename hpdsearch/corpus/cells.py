"""The value of a cell of a .csv or .tsv: a number, a boolean, null or the string itself.

The rule looks at one cell, because a stream does not know its later cells. A cell becomes a number only if the number
is written exactly like the cell, so nothing is lost: 007, +1, 1.10, 1e5, 1_000 and nan stay strings. Filters compare a
string that looks like a number as a number all the same.
"""

import re

NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
LONGEST_NUMBER = 25  # characters; repr(float) has at most 24
LARGEST_INTEGER = 2**53  # readers of JSON that have only 64-bit floats round larger ones
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def type_cell(cell: str) -> str | int | float | bool | None:
    """Return a cell as a boolean (true, True, TRUE), as a number, as null if it is blank, otherwise unchanged."""
    if not cell or cell.isspace():
        return None
    if cell in BOOLEANS:
        return BOOLEANS[cell]
    if len(cell) > LONGEST_NUMBER or not (found := NUMBER.fullmatch(cell)):
        return cell
    is_integer = found[1] is None and found[2] is None
    number = int(cell) if is_integer else float(cell)
    if repr(number) != cell or (is_integer and abs(number) > LARGEST_INTEGER):
        return cell
    return number
