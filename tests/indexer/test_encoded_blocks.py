"""An interrupted direct build goes on: equal blocks are not encoded again, and the index has the same bytes."""

from pathlib import Path

import pytest
from brute_force import make_documents
from tiny_encoder import make_tiny_encoder

from hpdsearch.common.progress import SILENT
from hpdsearch.encoder import Encoder
from hpdsearch.errors import CorpusError
from hpdsearch.index import Index
from hpdsearch.indexer import ingest as ingest_module
from hpdsearch.indexer.transaction import ENCODED
from hpdsearch.records import Document

DOCUMENTS = make_documents(400)
N_BLOCKS = 13  # of 32 documents


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(make_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny"), threads=1)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "BLOCK_DOCUMENTS", 32)


class Interrupting(Encoder):
    """An encoder that counts its texts and is interrupted in one of its calls."""

    def __init__(self, encoder: Encoder, n_calls: int = 99) -> None:
        self.__dict__ = dict(encoder.__dict__)
        self.n_calls = n_calls
        self.n_texts = 0

    def encode(self, texts, *, progress=SILENT):  # type: ignore[no-untyped-def]
        if not self.n_calls:
            raise KeyboardInterrupt
        self.n_calls -= 1
        self.n_texts += len(texts)
        return super().encode(texts, progress=progress)


def interrupt(folder: Path, encoder: Encoder, n_blocks: int, documents: list[Document] = DOCUMENTS) -> None:
    """Interrupt a build after so many blocks."""
    with pytest.raises(KeyboardInterrupt):
        Index.build(folder, documents, encoder=Interrupting(encoder, n_blocks))


def read_vectors(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("vectors-*"))]


@pytest.mark.parametrize("n_blocks", [1, 5, N_BLOCKS - 1])
def test_an_interrupted_build_encodes_no_block_again(tmp_path: Path, encoder: Encoder, n_blocks: int) -> None:
    folder = tmp_path / "index"
    interrupt(folder, encoder, n_blocks)
    assert [path.name for path in folder.iterdir()] == [ENCODED]
    counting = Interrupting(encoder)
    with Index.build(folder, DOCUMENTS, encoder=counting) as index:
        assert counting.n_texts == 400 - 32 * n_blocks
        assert index.report.n_resumed == 32 * n_blocks
        assert index.verify() == []
    assert not (folder / ENCODED).exists()
    Index.build(tmp_path / "whole", DOCUMENTS, encoder=encoder).close()
    assert read_vectors(folder) == read_vectors(tmp_path / "whole")


def test_an_interruption_in_the_first_block_leaves_nothing(tmp_path: Path, encoder: Encoder) -> None:
    interrupt(tmp_path / "index", encoder, 0)
    assert not (tmp_path / "index").exists()


def test_one_block_is_not_kept(tmp_path: Path, encoder: Encoder) -> None:
    with pytest.raises(CorpusError):
        Index.build(tmp_path / "index", [*DOCUMENTS[:20], DOCUMENTS[0]], encoder=encoder)
    assert not (tmp_path / "index").exists()


def test_another_corpus_reuses_only_equal_blocks(tmp_path: Path, encoder: Encoder) -> None:
    interrupt(tmp_path / "index", encoder, 5)
    changed = [*DOCUMENTS]
    changed[40] = Document(changed[40].doc_id, "the queen")  # in the second block
    changed[64], changed[65] = changed[65], changed[64]
    with Index.build(tmp_path / "index", changed, encoder=encoder) as index:
        assert index.report.n_resumed == 3 * 32
    Index.build(tmp_path / "whole", changed, encoder=encoder).close()
    assert read_vectors(tmp_path / "index") == read_vectors(tmp_path / "whole")


def test_another_encoder_or_width_reuses_nothing(tmp_path: Path, encoder: Encoder) -> None:
    of_other_space = Encoder.load(make_tiny_encoder(tmp_path / "other", space_seed=5), threads=1)
    for n, other in enumerate((encoder.truncate(encoder.dim // 2), of_other_space)):
        folder = tmp_path / f"index{n}"
        interrupt(folder, encoder, 5)
        with Index.build(folder, DOCUMENTS, encoder=other) as index:
            assert index.report.n_resumed == 0
        assert not (folder / ENCODED).exists()
        Index.build(tmp_path / f"whole{n}", DOCUMENTS, encoder=other).close()
        assert read_vectors(folder) == read_vectors(tmp_path / f"whole{n}")


def test_a_torn_or_damaged_block_is_encoded_again(tmp_path: Path, encoder: Encoder) -> None:
    for n, damage in enumerate((lambda data: data[:-1], lambda data: data[:9] + b"x" + data[10:], lambda data: b"x")):
        folder = tmp_path / f"index{n}"
        interrupt(folder, encoder, 3)
        (folder / ENCODED).write_bytes(damage((folder / ENCODED).read_bytes()))
        with Index.build(folder, DOCUMENTS, encoder=encoder) as index:
            assert index.report.n_resumed == (64, 0, 0)[n]
        Index.build(tmp_path / "whole", DOCUMENTS, encoder=encoder, overwrite=True).close()
        assert read_vectors(folder) == read_vectors(tmp_path / "whole")


@pytest.mark.parametrize("change", ["add", "update"])
def test_a_change_goes_on(tmp_path: Path, encoder: Encoder, change: str) -> None:
    folder = tmp_path / "index"
    Index.build(folder, [Document("first", "the old war")], encoder=encoder).close()

    def write(encoder: Encoder) -> int:
        with Index.open(folder, document_encoder=encoder) as index:
            report = index.add(DOCUMENTS) if change == "add" else index.update(DOCUMENTS, under=tmp_path)
            assert index.verify() == []
        return report.n_resumed

    with pytest.raises(KeyboardInterrupt):
        write(Interrupting(encoder, 4))
    counting = Interrupting(encoder)
    assert write(counting) == 4 * 32
    assert counting.n_texts == 400 - 4 * 32
    assert not (folder / ENCODED).exists()


def test_a_document_that_stops_the_build_costs_no_block(
    tmp_path: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CorpusError, match="came before"):
        Index.build(tmp_path / "index", [*DOCUMENTS, DOCUMENTS[7]], encoder=encoder)
    assert "what is encoded is kept" in caplog.text
    with Index.build(tmp_path / "index", DOCUMENTS, encoder=encoder) as index:
        assert index.report.n_resumed == 384  # the last block lacks a document
