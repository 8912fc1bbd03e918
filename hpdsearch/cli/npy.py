"""Write a .npy file row by row, when the number of rows is known only at the end."""

import shutil
import tempfile
from types import TracebackType
from typing import BinaryIO, cast

from numpy.lib import format as npy

from hpdsearch.common.files import BLOCK
from hpdsearch.common.vectors import Matrix


class NpyWriter:
    """A writer of float32 rows (n, dim). The file is complete when the `with` block ends without an error.

    A file that cannot seek, as a pipe, gets all rows at the end, from a temporary file: the header comes first.
    """

    def __init__(self, file: BinaryIO, dim: int) -> None:
        self.dim = dim
        self.n_rows = 0
        self._file = file
        self._rows = file if file.seekable() else _open_temporary_file()

    def __enter__(self) -> "NpyWriter":
        if self._rows is self._file:
            self._write_header()
        return self

    def append(self, rows: Matrix) -> None:
        """Append the rows of a matrix (m, dim)."""
        try:
            self._rows.write(rows.astype("<f4").tobytes())
            self._rows.flush()
        except OSError as error:
            error.filename = error.filename or tempfile.gettempdir()
            raise
        self.n_rows += len(rows)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._rows is self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()
            return
        with self._rows:
            if kind is None:
                self._write_header()
                self._rows.seek(0)
                shutil.copyfileobj(self._rows, self._file, BLOCK)

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis may grow to 21 digits without moving the data.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.n_rows, self.dim)}
        npy.write_array_header_1_0(self._file, header)


def _open_temporary_file() -> BinaryIO:
    try:
        return cast(BinaryIO, tempfile.TemporaryFile())
    except FileNotFoundError as error:  # the system's message lists the folders that were tried
        error.filename = "TMPDIR"
        raise
