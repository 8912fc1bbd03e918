"""Damage the files of an index folder, and compare what Index.open, search and verify then return with intact folders.

A file is truncated, or one of its bits is flipped.
"""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, TypeAlias

from brute_force import make_documents
from processes import Processes, receive
from states import POLICY

from hpdsearch.dense import IndexSpec
from hpdsearch.dense.spec import Codec, Kind
from hpdsearch.encoder import Encoder
from hpdsearch.errors import HpdsearchError
from hpdsearch.index import Index
from hpdsearch.index.verify import find_problems
from hpdsearch.records import Hit

INDEX_NAMES = ("buffered", "flat sq8", "ivf pq", "ivf rabitq", "flat pq")
QUERY = "the old queen of the iron river"
ALL_HITS = 10_000
CHECKSUMMED = (".f16", ".faiss", ".term", ".idx", ".pos", ".fieldnorm", ".fast", ".store", ".del")
TANTIVY_FOOTER_BYTES = 120  # at most; Tantivy writes its version and the checksum there
HitFields: TypeAlias = dict[str, object]


class Request(NamedTuple):
    """One call of Index.search."""

    query: str
    mode: str
    where: str | None


REQUESTS = [Request(QUERY, mode, where) for mode in ("dense", "lexical", "hybrid") for where in (None, "half = 0")]


def make_index(name: str, folder: Path, encoder: Encoder) -> list[Path]:
    """Make an index with deleted and replaced documents.

    Args:
        name: "buffered": all changes stand in SQLite's log, and the last passages are buffered in the catalog; else
            "KIND CODEC", with two segments.
        folder: made.
        encoder: of the documents.

    Returns:
        the folders of its states, oldest first; only "buffered" has several.
    """
    if name == "buffered":

        def copy_folder(number: int) -> Path:
            """Copy the folder with SQLite's log, which exists while the index is open."""
            return Path(shutil.copytree(folder / "open", folder / f"state {number}"))

        with Index.build(folder / "open", make_documents(40), encoder=encoder, merge_policy=POLICY) as index:
            states = [copy_folder(0)]
            index.add(make_documents(12, first=35, seed=3))
            states.append(copy_folder(1))
            index.delete(["d00002", "d00045"])
            return [*states, copy_folder(2)]
    kind, codec = name.split()
    spec = IndexSpec(Kind(kind), Codec(codec), ann_recall=0.9)
    with Index.build(folder, make_documents(120), encoder=encoder, spec=spec, merge_policy=POLICY) as index:
        index.add(make_documents(50, first=110, seed=3))
        index.delete(["d00002", "d00115"])
        assert [(one["kind"], one["codec"]) for one in index.info().segments] == [(kind, codec), ("flat", codec)]
    return [folder]


@dataclass(frozen=True)
class Damage:
    """One damage of one file.

    Attributes:
        file: path relative to the index folder.
        at: offset in bytes.
        bit: the bit to flip in that byte; None: the file is truncated there.
        must_be_found: a checksum covers this byte, so that verify has to find the damage. Other bytes may be unused.
    """

    file: Path
    at: int
    bit: int | None
    must_be_found: bool

    def apply(self, folder: Path) -> None:
        path = folder / self.file
        data = bytearray(path.read_bytes())
        if self.bit is None:
            del data[self.at :]
        else:
            data[self.at] ^= 1 << self.bit
        path.write_bytes(bytes(data))


def choose_damages(original: Path, n: int, seed: int) -> Iterator[Damage]:
    """Yield about n damages: each file is truncated at several lengths, and bits are flipped in all files."""
    rng = random.Random(seed)
    files = [path for path in sorted(original.rglob("*")) if path.is_file() and path.stat().st_size]
    files = [path for path in files if not path.name.endswith("-shm")]  # SQLite makes this file again
    for path in files:
        size = path.stat().st_size
        name = path.relative_to(original)
        cuts = {0, 1, size // 3, size // 2, size - 1, rng.randrange(size), size // 4096 * 2048, size - 4096}
        cuts = {at for at in cuts if 0 <= at < size}
        n_checksummed = 0
        if path.suffix in CHECKSUMMED:
            n_checksummed = size if path.suffix in CHECKSUMMED[:2] else size - TANTIVY_FOOTER_BYTES
        yield from (Damage(name, at, None, n_checksummed > 0) for at in sorted(cuts))
        # The catalog gets ten times as many damages, since its checksums do not cover all bytes.
        share = n // (len(files) + 10) * (10 if path.name.startswith("catalog") else 1)
        for _ in range(max(2, share - len(cuts))):
            at = rng.randrange(size)
            yield Damage(name, at, rng.randrange(8), at < n_checksummed)


def search_fields(index: Index, request: Request, k: int) -> list[tuple[str, HitFields]]:
    """Return doc_id and fields of each hit. A hybrid score is left out: it depends on the other candidates."""

    def select_fields(hit: Hit) -> HitFields:
        score = None if request.mode == "hybrid" else hit.score
        return {"text": hit.text, "title": hit.title, "metadata": hit.metadata, "score": score}

    hits = index.search(request.query, k, mode=request.mode, where=request.where)
    return [(hit.doc_id, select_fields(hit)) for hit in hits]


@dataclass(frozen=True)
class Expected:
    """The answers of an intact state: all hits of each request, and the five best in order."""

    all_hits: dict[Request, HitFields]
    top_hits: dict[Request, list[tuple[str, HitFields]]]


def examine_folders(pipe: Connection, encoder_folder: Path, intact_folders: list[Path]) -> None:
    """Receive folders and send for each (problem or "", whether verify names the damage, outcome).

    Each answer must be that of the last state, or an HpdsearchError. Hits may be missing if verify names the damage. A
    hit that differs from the state's is a problem in any case. A damage of SQLite's log may bring back an earlier
    state: SQLite ends the log at the first wrong checksum, as after a writer that died.
    """
    encoder = Encoder.load(encoder_folder, threads=1)
    states: dict[int, Expected] = {}
    for intact in intact_folders:
        with Index.open(intact, encoder=encoder, merge_policy=POLICY) as index:
            all_hits = {request: dict(search_fields(index, request, ALL_HITS)) for request in REQUESTS}
            top_hits = {request: search_fields(index, request, 5) for request in REQUESTS}
            states[index.info().generation] = Expected(all_hits, top_hits)
    while True:
        folder = pipe.recv()
        try:
            pipe.send(_examine(folder, encoder, states))
        except Exception as error:
            pipe.send((f"expected an HpdsearchError, got {error!r}", False, "bug"))


def _examine(folder: Path, encoder: Encoder, states: dict[int, Expected]) -> tuple[str, bool, str]:
    outcomes = {"right"}
    try:
        with Index.open(folder, encoder=encoder, merge_policy=POLICY) as index:
            generation = index.info().generation
            state = states[generation]
            if generation != max(states):
                outcomes.add("earlier")
            for request, expected in state.all_hits.items():
                try:
                    hits = search_fields(index, request, 5)
                except HpdsearchError:
                    outcomes.add("error")
                    continue
                if wrong := [hit for hit in hits if expected.get(hit[0]) != hit[1]]:
                    return f"{request} returned {wrong[0]}", False, "wrong"
                if hits != state.top_hits[request]:
                    outcomes.add("fewer")
    except HpdsearchError:
        outcomes.add("error")
    try:
        is_named = bool(find_problems(folder))
    except HpdsearchError:
        is_named = True
    outcome = next(one for one in ("fewer", "error", "earlier", "right") if one in outcomes)
    problem = "" if is_named or outcomes <= {"right", "earlier"} else f"{outcome}, and verify finds nothing"
    return problem, is_named, outcome


def damage_each(
    states: list[Path], work_folder: Path, processes: Processes, encoder_folder: Path, n: int, seed: int
) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Apply about n damages to the last state of an index, each to a new copy, and examine the copies.

    Returns:
        problems: a sentence for each damage that led to a wrong answer or passed unnoticed.
        outcomes: the number of damages of each (file name ending, outcome).
    """
    problems: list[str] = []
    outcomes: Counter[tuple[str, str]] = Counter()
    # Opening an index may change SQLite's log, so the examiner opens copies.
    intact = [Path(shutil.copytree(state, work_folder / f"intact {number}")) for number, state in enumerate(states)]
    original = states[-1]
    _, pipe = processes.start(examine_folders, encoder_folder, intact)
    for number, damage in enumerate(choose_damages(original, n, seed)):
        folder = shutil.copytree(original, work_folder / f"damaged {number}")
        damage.apply(folder)
        pipe.send(folder)
        try:
            problem, is_named, outcome = receive(pipe)
        except EOFError:
            problem = "the process died"
            is_named = False
            outcome = "died"
            _, pipe = processes.start(examine_folders, encoder_folder, intact)
        if not problem and damage.must_be_found and not is_named:
            problem = "verify finds nothing"
        if not problem and outcome == "earlier" and damage.file.suffix != ".sqlite-wal":
            problem = "an earlier state is active"
        if problem:
            problems.append(f"{damage}: {problem}")
        outcomes[damage.file.suffix or damage.file.name, outcome] += 1
        shutil.rmtree(folder, ignore_errors=True)
    return problems, outcomes
