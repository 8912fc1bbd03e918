"""Measure the floating point operations per second of a product of two square float32 matrices.

    echo '{}' | python -m benchmarks.encoding.matmul_peak numpy --threads 2

The script answers every input line with {"gflops": ...}, the best of some products. The process is pinned to as many
cores as it has threads. benchmarks.encoding.run uses the result of the best library as the peak.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable

SIZE = 2048  # rows and columns: at 16 MB per matrix arithmetic is the limit, not memory bandwidth
TIMES = 3
LIBRARIES = ("numpy", "torch")


def main() -> None:
    """Read the options, create the matrices, answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=LIBRARIES)
    parser.add_argument("--threads", type=int, required=True, help="cores that the process may use")
    parser.add_argument("--size", type=int, default=SIZE, help="rows and columns of the matrices")
    options = parser.parse_args()
    # Libraries read both settings when they are imported.
    os.environ |= {f"{name}_NUM_THREADS": str(options.threads) for name in ("OMP", "OPENBLAS", "MKL")}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    multiply = product(options.package, options.size, options.threads)
    multiply()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps({"gflops": gflops(multiply, options.size)}), flush=True)


def installed_libraries() -> list[str]:
    """Return the installed ones of LIBRARIES."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name)]


def product(library: str, size: int, threads: int) -> Callable[[], object]:
    """Return a function that multiplies two seeded matrices (size, size) with a library."""
    import numpy as np

    left, right = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    if library == "numpy":
        return lambda: left @ right
    import torch

    torch.set_num_threads(threads)
    tensors = torch.from_numpy(left), torch.from_numpy(right)
    return lambda: tensors[0] @ tensors[1]


def gflops(multiply: Callable[[], object], size: int) -> float:
    """Return the GFLOP/s of the fastest of TIMES products; a product has 2 size^3 operations."""
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


if __name__ == "__main__":
    main()
