"""Random sequences of commands on one index: after each, the index is intact and holds what a dict of texts holds.

HPDSEARCH_FUZZ=1000:5000 runs the sequences of these seeds instead of the usual ones. HPDSEARCH_FUZZ=17 runs one.
"""

import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import choose_seeds
from checks import NEVER, Server
from tiny_encoder import make_tiny_static

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the fuzzer forks processes that have loaded native libraries"),
]
WORDS = ["cat", "dog", "sea", "king", "red", "war", "stone", "song"]
STEPS = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    scratch = tmp_path_factory.mktemp("sequences")
    make_tiny_static(scratch / "template" / "encoder")
    with Server(scratch / "template", scratch) as server:
        yield server


class Sequence:
    """Commands on the index `idx` of a folder, and the documents that it must hold.

    Attributes:
        documents: doc_id -> text.
        log: the command lines so far.
    """

    def __init__(self, server: Server, folder: Path, rng: random.Random) -> None:
        self.server = server
        self.folder = folder
        self.rng = rng
        self.documents: dict[str, str] = {}
        self.log: list[str] = []
        self.sources = 0

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command line; return its exit code and what it printed."""
        self.log.append(" ".join(arguments))
        code, shown, errors = self.server.run(self.folder, list(arguments))
        assert code in (0, 1, 2), self.describe(errors)
        assert not any(word in errors for word in NEVER), self.describe(errors)
        return code, shown

    def describe(self, problem: object) -> str:
        return "\n".join([*self.log, str(problem)])

    def make_documents(self) -> dict[str, str]:
        """Return new texts of some ids, of which the index may hold others."""
        ids = self.rng.sample(range(20), self.rng.randint(1, 8))
        return {f"d{number}": " ".join(self.rng.choices(WORDS, k=self.rng.randint(1, 6))) for number in ids}

    def write(self, documents: dict[str, str]) -> str:
        """Write documents to a file of their own, so that `add` replaces across files; return its name."""
        self.sources += 1
        name = f"source{self.sources}.jsonl"
        lines = [json.dumps({"id": doc_id, "text": text}) + "\n" for doc_id, text in documents.items()]
        (self.folder / name).write_text("".join(lines))
        return name

    def index(self) -> None:
        documents = self.make_documents()
        code, _ = self.run("index", self.write(documents), "-o", "idx", "--encoder", "encoder", "--overwrite")
        assert code == 0, self.describe("index failed")
        self.documents = documents

    def add(self) -> None:
        documents = self.make_documents()
        code, _ = self.run("add", "idx", self.write(documents))
        assert code == 0, self.describe("add failed")
        self.documents |= documents

    def update(self) -> None:
        """Update with a file that the index does not know: it adds, as long as no id is of another file."""
        documents = {f"u{self.sources}-{doc_id}": text for doc_id, text in self.make_documents().items()}
        name = self.write(documents)
        for _ in range(2):  # the second one finds nothing to do
            code, _ = self.run("index", name, "-o", "idx", "--update")
            assert code == 0, self.describe("update failed")
        kept = dict(list(documents.items())[1:])
        lines = [json.dumps({"id": doc_id, "text": text}) + "\n" for doc_id, text in kept.items()]
        (self.folder / name).write_text("".join(lines) or '{"id": "last", "text": "song"}\n')
        assert self.run("index", name, "-o", "idx", "--update")[0] == 0, self.describe("update failed")
        self.documents |= kept or {"last": "song"}

    def delete(self) -> None:
        wanted = [f"d{number}" for number in self.rng.sample(range(20), self.rng.randint(1, 3))]
        if self.rng.random() < 0.7:
            wanted = [doc_id for doc_id in wanted if doc_id in self.documents] or wanted
        code, _ = self.run("delete", "idx", *wanted)
        exists = all(doc_id in self.documents for doc_id in wanted)
        assert code == (0 if exists else 1), self.describe("a missing id fails, an existing one does not")
        if exists:
            self.documents = {doc_id: text for doc_id, text in self.documents.items() if doc_id not in wanted}

    def compact(self) -> None:
        assert self.run("compact", "idx")[0] == 0, self.describe("compact failed")

    def reindex(self) -> None:
        codec = self.rng.choice(["f32", "sq8", "auto"])
        assert self.run("reindex", "idx", "--codec", codec)[0] == 0, self.describe("reindex failed")

    def query(self) -> None:
        """Search every word, and write a run into a file: its ids are those of the documents with the word."""
        word = self.rng.choice(WORDS)
        code, shown = self.run("query", word, "-i", "idx", "--mode", "lexical", "-k", "1000", "--json")
        assert code == 0, self.describe("query failed")
        expected = {doc_id for doc_id, text in self.documents.items() if word in text.split()}
        assert {hit["doc_id"] for hit in json.loads(shown)["hits"]} == expected, self.describe(word)
        options = ("--mode", "dense", "-k", "1000", "--run-file", "run", "--overwrite")
        assert self.run("query", word, "-i", "idx", *options)[0] == 0, self.describe("query failed")
        found = [line.split()[2] for line in (self.folder / "run").read_text().splitlines()]
        assert sorted(found) == sorted(self.documents), self.describe("a dense run of all documents")

    def check(self) -> None:
        """Compare the index with the dict."""
        problems = self.server.find_problems(self.folder / "idx")
        assert not problems, self.describe(problems)
        self.query()


@pytest.mark.parametrize("seed", choose_seeds("0:10"))
def test_every_sequence_of_commands_leaves_the_documents_of_a_dict(server: Server, seed: int) -> None:
    rng = random.Random(seed)
    folder = server.scratch / "work"
    shutil.copytree(server.template, folder)
    sequence = Sequence(server, folder, rng)
    sequence.index()
    steps = [sequence.index, sequence.add, sequence.add, sequence.update, sequence.delete, sequence.delete,
             sequence.compact, sequence.reindex]  # fmt: skip
    for step in rng.choices(steps, k=STEPS):
        step()
        sequence.check()
    shutil.rmtree(folder)
