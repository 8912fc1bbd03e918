"""Files of an index folder cut off or with a bit flipped, and what opening, searching and verify make of it."""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from brute_force import some_documents
from processes import PATIENCE, Processes
from states import POLICY

from hpdsearch.dense import IndexSpec
from hpdsearch.dense.spec import Codec, Kind
from hpdsearch.encoder import Encoder
from hpdsearch.errors import HpdsearchError
from hpdsearch.index import Index
from hpdsearch.index.verify import find_problems
from hpdsearch.records import Hit

KINDS = ("waiting", "flat sq8", "ivf pq", "ivf rabitq", "flat pq")
QUERY = "the old queen of the iron river"
EVERYTHING = 10_000  # hits
SUMMED = (".f16", ".faiss", ".term", ".idx", ".pos", ".fieldnorm", ".fast", ".store", ".del")
FOOTER = 120  # bytes, at most, in which Tantivy writes its own version besides the sum
Ask: TypeAlias = tuple[str, str, str | None]  # query, mode, where
Found: TypeAlias = dict[str, object]


def make(what: str, folder: Path, encoder: Encoder) -> list[Path]:
    """Make an index with deleted and replaced documents; return its folder, after those of states before if they count.

    "waiting": all changes lie in SQLite's log, and the last passages in the catalog alone; else "KIND CODEC", of two
    segments.
    """
    if what == "waiting":

        def copied(number: int) -> Path:
            return Path(shutil.copytree(folder / "open", folder / f"state {number}"))  # with the log, while it is open

        with Index.build(folder / "open", some_documents(40), encoder=encoder, merge_policy=POLICY) as index:
            states = [copied(0)]
            index.add(some_documents(12, first=35, seed=3))
            states.append(copied(1))
            index.delete(["d00002", "d00045"])
            return [*states, copied(2)]
    kind, codec = what.split()
    spec = IndexSpec(Kind(kind), Codec(codec), ann_recall=0.9)
    with Index.build(folder, some_documents(120), encoder=encoder, spec=spec, merge_policy=POLICY) as index:
        index.add(some_documents(50, first=110, seed=3))
        index.delete(["d00002", "d00115"])
        assert [(one["kind"], one["codec"]) for one in index.info().segments] == [(kind, codec), ("flat", codec)]
    return [folder]


@dataclass(frozen=True)
class Damage:
    """A file and what is done to it: cut off at a byte (bit is None), or a bit of that byte flipped.

    must_be_found: a sum is kept over this byte, so verify finds it in any case; else it may have been of no use.
    """

    file: Path
    at: int
    bit: int | None
    must_be_found: bool

    def do(self, folder: Path) -> None:
        path = folder / self.file
        data = bytearray(path.read_bytes())
        if self.bit is None:
            del data[self.at :]
        else:
            data[self.at] ^= 1 << self.bit
        path.write_bytes(bytes(data))


def damages(original: Path, n: int, seed: int) -> Iterator[Damage]:
    """Yield about n cases: each file is cut at several lengths; the rest are bits, shared out over the files."""
    chance = random.Random(seed)
    files = [path for path in sorted(original.rglob("*")) if path.is_file() and path.stat().st_size]
    files = [path for path in files if not path.name.endswith("-shm")]  # SQLite makes it anew
    for path in files:
        size, name = path.stat().st_size, path.relative_to(original)
        cuts = {0, 1, size // 3, size // 2, size - 1, chance.randrange(size), size // 4096 * 2048, size - 4096}
        cuts = {at for at in cuts if 0 <= at < size}
        summed = 0 if path.suffix not in SUMMED else size if path.suffix in SUMMED[:2] else size - FOOTER
        yield from (Damage(name, at, None, summed > 0) for at in sorted(cuts))
        share = n // (len(files) + 10) * (10 if path.name.startswith("catalog") else 1)  # where sums are not over all
        for _ in range(max(2, share - len(cuts))):
            at = chance.randrange(size)
            yield Damage(name, at, chance.randrange(8), at < summed)


def asks() -> list[Ask]:
    return [(QUERY, mode, where) for mode in ("dense", "lexical", "hybrid") for where in (None, "half = 0")]


def answer(index: Index, ask: Ask, k: int) -> list[tuple[str, Found]]:
    """Return the hits as (doc_id, what is shown); a fused score depends on the ranks of others, and is left out."""

    def shown(hit: Hit) -> Found:
        score = None if ask[1] == "hybrid" else hit.score
        return {"text": hit.text, "title": hit.title, "metadata": hit.metadata, "score": score}

    return [(hit.doc_id, shown(hit)) for hit in index.search(ask[0], k, mode=ask[1], where=ask[2])]


@dataclass(frozen=True)
class State:
    """What a committed state answers: every hit, and the best ones in order."""

    right: dict[Ask, Found]
    best: dict[Ask, list[tuple[str, Found]]]


def examine(pipe: Connection, encoder_folder: Path, wholes: list[Path]) -> None:
    """Say of each folder that comes what should not be ("" or a sentence), whether verify names it, and the outcome.

    What should be: each answer is that of the last state or an HpdsearchError. It may lack hits if verify names the
    damage; a hit that the state does not give, or not so, is wrong even then. Where SQLite's log is damaged, an earlier
    state may be in force: SQLite takes the log to end where a sum differs, as after a writer that died.
    """
    encoder = Encoder.load(encoder_folder, threads=1)
    states: dict[int, State] = {}
    for whole in wholes:
        with Index.open(whole, encoder=encoder, merge_policy=POLICY) as index:
            right = {ask: dict(answer(index, ask, EVERYTHING)) for ask in asks()}
            states[index.info().generation] = State(right, {ask: answer(index, ask, 5) for ask in asks()})
    while True:
        folder = pipe.recv()
        try:
            pipe.send(_examined(folder, encoder, states))
        except Exception as error:
            pipe.send((f"{error!r} is no error of ours", False, "bug"))


def _examined(folder: Path, encoder: Encoder, states: dict[int, State]) -> tuple[str, bool, str]:
    outcomes = {"right"}
    try:
        with Index.open(folder, encoder=encoder, merge_policy=POLICY) as index:
            generation = index.info().generation
            state = states[generation]
            if generation != max(states):
                outcomes.add("earlier")
            for ask, expected in state.right.items():
                try:
                    found = answer(index, ask, 5)
                except HpdsearchError:
                    outcomes.add("error")
                    continue
                if wrong := [hit for hit in found if expected.get(hit[0]) != hit[1]]:
                    return f"{ask} found {wrong[0]}", False, "wrong"
                if found != state.best[ask]:
                    outcomes.add("fewer")
    except HpdsearchError:
        outcomes.add("error")
    try:
        named = bool(find_problems(folder))
    except HpdsearchError:
        named = True
    outcome = next(one for one in ("fewer", "error", "earlier", "right") if one in outcomes)
    problem = "" if named or outcomes <= {"right", "earlier"} else f"{outcome}, and verify finds nothing"
    return problem, named, outcome


def damage_each(
    made: list[Path], place: Path, processes: Processes, encoder_folder: Path, n: int, seed: int
) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Try n damages of what `make` made.

    Returns:
        a sentence for each that was not met as it should be; (ending of the file, outcome) counted.
    """
    problems: list[str] = []
    outcomes: Counter[tuple[str, str]] = Counter()
    # Opening an index may change SQLite's log: let it be that of a copy.
    wholes = [Path(shutil.copytree(one, place / f"whole {number}")) for number, one in enumerate(made)]
    original = made[-1]
    _, pipe = processes.start(examine, encoder_folder, wholes)
    for number, damage in enumerate(damages(original, n, seed)):
        folder = shutil.copytree(original, place / f"damaged {number}")
        damage.do(folder)
        pipe.send(folder)
        try:
            assert pipe.poll(PATIENCE)
            problem, named, outcome = pipe.recv()
        except EOFError:
            problem, named, outcome = "the process died", False, "died"
            _, pipe = processes.start(examine, encoder_folder, wholes)
        if not problem and damage.must_be_found and not named:
            problem = "verify finds nothing"
        if not problem and outcome == "earlier" and damage.file.suffix != ".sqlite-wal":
            problem = "an earlier state is in force"
        if problem:
            problems.append(f"{damage}: {problem}")
        outcomes[damage.file.suffix or damage.file.name, outcome] += 1
        shutil.rmtree(folder, ignore_errors=True)
    return problems, outcomes
