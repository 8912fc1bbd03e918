"""A .npy file written row by row, whose count of rows is known only at the end."""

from pathlib import Path

from numpy.lib import format as npy

from hpdsearch.files import PARTIAL
from hpdsearch.vectors import Matrix


class NpyWriter:
    """Writes float32 rows (n, dim) beside `path`; publish() moves the whole file there, close() drops a partial one."""

    def __init__(self, path: Path, dim: int) -> None:
        self.path, self.dim, self.n_rows = path, dim, 0
        self._partial = path.with_name(path.name + PARTIAL)
        self._file = self._partial.open("wb")
        self._write_header()

    def append(self, rows: Matrix) -> None:
        """Write the rows of a matrix (m, dim)."""
        self._file.write(rows.astype("<f4").tobytes())
        self.n_rows += len(rows)

    def publish(self) -> None:
        """Complete the header and move the file into its place."""
        self._file.seek(0)
        self._write_header()
        self._file.close()
        self._partial.replace(self.path)

    def close(self) -> None:
        """Remove what was not published."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis may grow to 21 digits without moving the data.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.n_rows, self.dim)}
        npy.write_array_header_1_0(self._file, header)
