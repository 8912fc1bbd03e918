"""Write a .npy file row by row, when the number of rows is known only at the end."""

from pathlib import Path
from types import TracebackType

from numpy.lib import format as npy

from hpdsearch.common.files import atomic_write
from hpdsearch.common.vectors import Matrix


class NpyWriter:
    """A writer of float32 rows (n, dim). The file appears at `path` when the `with` block ends without an error."""

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self.dim = dim
        self.n_rows = 0

    def __enter__(self) -> "NpyWriter":
        self._publishing = atomic_write(self.path)
        self._file = self._publishing.__enter__()
        self._write_header()
        return self

    def append(self, rows: Matrix) -> None:
        """Append the rows of a matrix (m, dim)."""
        self._file.write(rows.astype("<f4").tobytes())
        self.n_rows += len(rows)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._file.seek(0)
            self._write_header()
        self._publishing.__exit__(kind, error, tb)

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis may grow to 21 digits without moving the data.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.n_rows, self.dim)}
        npy.write_array_header_1_0(self._file, header)
