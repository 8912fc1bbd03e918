"""The text of a Jupyter notebook: its cells without their outputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpdsearch.common.files import parse_json
from hpdsearch.corpus.extraction.limits import Extraction, ExtractionError, ExtractionLimits, PartsJoiner
from hpdsearch.corpus.pages import find_markdown_title


def read_ipynb(path: Path, limits: ExtractionLimits) -> Iterator[Extraction]:
    """Yield the document of a notebook of format 3 or 4.

    Raises:
        ExtractionError: the file is no notebook.
    """
    try:
        notebook = parse_json(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise ExtractionError(f"expected a notebook in JSON, got: {error}") from error
    cells = list_cells(notebook)
    joiner = PartsJoiner(limits)
    title = ""
    for number, cell in enumerate(cells, start=1):
        source = cell.get("source", cell.get("input", "")) if isinstance(cell, dict) else ""
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        if not title and isinstance(cell, dict) and cell.get("cell_type") == "markdown":
            title = find_markdown_title(text)
        joiner.add(text, f"cell {number}")
    yield joiner.finish(title)


def list_cells(notebook: Any) -> list[Any]:
    """Return the cells of a notebook.

    Raises:
        ExtractionError: there is no list of cells.
    """
    if isinstance(notebook, dict):
        if isinstance(cells := notebook.get("cells"), list):
            return cells
        sheets = notebook.get("worksheets")
        if isinstance(sheets, list) and all(isinstance(s, dict) and isinstance(s.get("cells"), list) for s in sheets):
            return [cell for sheet in sheets for cell in sheet["cells"]]
    raise ExtractionError('expected a notebook with a list of "cells", got another JSON value')
