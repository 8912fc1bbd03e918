"""How many operations a second does this machine do in a product of two square float32 matrices?

    echo '{}' | python -m benchmarks.encoding.matmul_peak numpy --threads 2

Answers every line of its input with {"gflops": ...}, the best of some products, in a process that is held to as many
cores as it has threads. encoding/run.py takes the best library's figure as the peak that an encoder could reach.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable

SIZE = 2048  # rows and columns: 16 MB a matrix, so that the product is bound by arithmetic and not by memory
TIMES = 3
LIBRARIES = ("numpy", "torch")


def main() -> None:
    """Read the options, make the matrices, answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--threads", type=int, required=True, help="cores that the process may use")
    parser.add_argument("--size", type=int, default=SIZE, help="rows and columns of the matrices")
    options = parser.parse_args()
    # Libraries count their threads when they are loaded: both must be said before.
    os.environ |= {f"{name}_NUM_THREADS": str(options.threads) for name in ("OMP", "OPENBLAS", "MKL")}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    multiply = product(options.library, options.size, options.threads)
    multiply()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps({"gflops": gflops(multiply, options.size)}), flush=True)


def installed_libraries() -> list[str]:
    """Return those of LIBRARIES that are installed here."""
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
    """Return 10^9 operations a second of the fastest of TIMES products; a product is 2 size^3 operations."""
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


if __name__ == "__main__":
    main()
