"""Hundreds of odd command lines: each ends with 0, 1 or 2, without a traceback, and leaves the index intact.

HPDSEARCH_FUZZ=1000:5000 runs the cases of these seeds instead of the usual ones. HPDSEARCH_FUZZ=17 runs one.
"""

import shutil
import sys
from collections.abc import Iterator

import pytest
from cases import choose_seeds, make_case
from checks import Server
from workspace import make_workspace

SEEDS = "0:300"
PARTS = 6

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer forks processes that have loaded native libraries"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    scratch = tmp_path_factory.mktemp("fuzz")
    with Server(make_workspace(scratch / "template"), scratch) as server:
        yield server


@pytest.mark.parametrize("part", range(PARTS))
def test_every_command_line_ends_in_order(server: Server, part: int) -> None:
    failures = []
    for seed in choose_seeds(SEEDS)[part::PARTS]:
        case = make_case(seed)
        faults = server.find_faults(case)
        if faults:
            failures.append("\n".join([f"HPDSEARCH_FUZZ={seed}", case.describe(), *(f"  {line}" for line in faults)]))
        shutil.rmtree(server.scratch / "work")
    assert not failures, "\n\n".join([f"{len(failures)} cases failed", *failures])
