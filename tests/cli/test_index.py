"""The commands index, add, delete, info and verify: output and exit codes."""

import gzip
import json
from pathlib import Path

import pytest
from cli_documents import DOCUMENTS
from tiny_encoder import make_tiny_encoder

from hpdsearch import Index


def test_index_names_the_folder_after_the_corpus_and_counts(run, corpus, tiny_folder):
    result = run("index", corpus, "--encoder", tiny_folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("indexes/words: indexed 4 documents, 4 passages in ")
    assert "no document was skipped, split or duplicate" in result.stdout
    assert f"float32 vectors of 768 dimensions take {4 * 768 * 4 / 1000:.1f} kB" in result.stdout
    assert result.stdout.rstrip().endswith("hpdsearch query -i indexes/words")


def test_index_notes_skipped_split_and_duplicate_documents(run, tmp_path, tiny_folder):
    path = tmp_path / "texts.txt"
    path.write_text("fear of spiders\n\n   \nfear of spiders\n" + "fear of spiders. " * 400 + "\n")
    result = run("index", path, "--encoder", tiny_folder)
    assert result.exit_code == 0, result.output
    for noted in (
        "2 empty documents skipped",
        "1 long documents split into passages",
        "1 documents with the text of another",
    ):
        assert noted in result.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "texts.txt:2: expected a text, got an empty document"),
        ("one text", "has the title and text of"),
        ("one two three. " * 400, "is split into"),
    ],
)
def test_strict_makes_skipped_split_and_duplicate_documents_an_error(run, tmp_path, tiny_folder, line, message):
    path = tmp_path / "texts.txt"
    path.write_text(f"one text\n{line}\nanother text\n")
    result = run("index", path, "--strict", "--encoder", tiny_folder)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "texts.txt:2" in result.stderr
    assert not Path("indexes/texts").exists()


def test_index_refuses_an_existing_index_without_overwrite(indexed, corpus, tiny_folder):
    refused = indexed("index", corpus, "--encoder", tiny_folder)
    assert refused.exit_code == 1
    assert "holds an index already" in refused.stderr
    assert "--overwrite" in refused.stderr
    corpus.write_text(json.dumps({"id": "x", "text": "only this"}) + "\n")
    assert indexed("index", corpus, "--encoder", tiny_folder, "--overwrite").exit_code == 0
    with Index.open("indexes/words") as index:
        assert [hit.doc_id for hit in index.search("only this")] == ["x"]


def test_an_unreadable_corpus_leaves_no_folder(run, tmp_path, tiny_folder):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": 5}\n')
    result = run("index", path, "--encoder", tiny_folder)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1, "one clear line"
    assert 'bad.jsonl:2: expected a "text" string, got the number 5' in result.stderr
    assert not Path("indexes/bad").exists()


def test_the_error_for_a_duplicate_doc_id_names_both_lines(run, tmp_path, tiny_folder):
    path = tmp_path / "twice.jsonl"
    path.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n{"id": "a", "text": "three"}\n')
    result = run("index", path, "--encoder", tiny_folder)
    assert result.exit_code == 1
    assert "twice.jsonl:3: doc_id 'a' came before, at" in result.stderr
    assert "twice.jsonl:1" in result.stderr


def test_index_reads_standard_input(run, tiny_folder):
    lines = "".join(json.dumps(document) + "\n" for document in DOCUMENTS)
    result = run("index", "-", "--stdin-format", "jsonl", "--encoder", tiny_folder, input=lines)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("indexes/stdin: indexed 4 documents")


@pytest.mark.parametrize("name", ["a.csv", "b.csv.gz"])
def test_index_reads_csv_fields_by_name(run, tmp_path, tiny_folder, name):
    data = b'key,body,lang\n1,"fear of, spiders",en\n2,great happiness,de\n'
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    result = run("index", name, "--id-field", "key", "--text-field", "body", "--encoder", tiny_folder)
    assert result.exit_code == 0, result.output
    answer = run("query", "spiders", "--where", 'lang = "de"', "--json")
    assert [hit["doc_id"] for hit in json.loads(answer.stdout)["hits"]] == ["2"]


def test_add_replaces_and_delete_removes(indexed, tmp_path):
    more = tmp_path / "more.jsonl"
    more.write_text('{"id": "c1", "text": "replaced"}\n{"id": "new", "text": "a new one"}\n')
    added = indexed("add", "words", more)
    assert added.exit_code == 0, added.output
    assert "2 documents" in added.stdout
    assert "1 documents replaced" in added.stdout
    deleted = indexed("delete", "indexes/words", "s1", "j1")
    assert deleted.stdout == "indexes/words: 2 documents deleted, 3 left\n"
    info = json.loads(indexed("info", "--json").stdout)
    assert (info["n_documents"], info["n_passages"], info["n_deleted"]) == (3, 3, 3)
    assert indexed("verify").stdout == "indexes/words: intact\n"


def test_delete_of_an_unknown_id_deletes_nothing(indexed, tmp_path):
    (tmp_path / "ids").write_text("j1\nnobody\n")
    result = indexed("delete", "words", "s1", "--ids-file", "ids")
    assert result.exit_code == 1
    assert "1 of 3 doc_ids are not in the index: 'nobody'" in result.stderr
    assert json.loads(indexed("info", "--json").stdout)["n_documents"] == 4


def test_info_shows_encoder_fields_and_segments(indexed):
    result = indexed("info", "words")
    assert result.exit_code == 0
    for shown in ("4 documents, 4 passages", "fields:     tags, year", "4 vectors, flat sq8", "generation 1, format 2"):
        assert shown in result.stdout


def test_verbose_logs_the_commit_and_the_removed_files(indexed, corpus, tiny_folder, caplog):
    with caplog.at_level("INFO"):
        indexed("-v", "index", corpus, "--encoder", tiny_folder, "--overwrite")
    assert "indexes/words: committed generation 2" in caplog.text
    assert "indexes/words/vectors-000001.f16: removed, because the catalog does not name it" in caplog.text
    assert f"encoder {tiny_folder} loaded in" in caplog.text


def test_verify_names_an_altered_file(indexed):
    path = Path("indexes/words/vectors-000001.f16")
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(bytes(data))
    result = indexed("verify", "words")
    assert result.exit_code == 1
    assert f"{path}: does not match its checksum" in result.stdout
    assert "is not intact (problems: 1); restore the files" in result.stderr


def test_a_folder_without_an_index_is_an_error(run, tmp_path):
    (tmp_path / "photos").mkdir()
    for command in (
        ("info", "photos"),
        ("query", "x", "-i", "photos"),
        ("verify", "photos"),
        ("delete", "photos", "a"),
    ):
        result = run(*command)
        assert result.exit_code == 1
        assert "photos: this is not an hpdsearch index" in result.stderr


def test_index_does_not_touch_a_folder_with_other_files(run, corpus, tmp_path, tiny_folder):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"jpg")
    result = run("index", corpus, "-o", "photos", "--encoder", tiny_folder)
    assert result.exit_code == 1
    assert "photos: this folder holds other files (cat.jpg ...)" in result.stderr
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_link_to_itself_is_an_error_that_names_it(run, tmp_path, tiny_folder):
    (tmp_path / "loop").symlink_to("loop")
    result = run("index", "loop", "--encoder", tiny_folder)
    assert result.exit_code == 1
    assert "loop: expected a file or folder, got: Too many levels of symbolic links" in result.stderr


def test_add_and_update_find_a_moved_encoder(run, corpus, tmp_path):
    make_tiny_encoder(tmp_path / "old", max_tokens=120)
    make_tiny_encoder(tmp_path / "other", max_tokens=120, space_seed=5)
    assert run("index", corpus, "--encoder", "old").exit_code == 0
    Path("old").rename("new")
    Path("more.txt").write_text("one more\n")
    for command in (("add", "words", "more.txt"), ("index", "more.txt", "-o", "indexes/words", "--update")):
        missing = run(*command)
        assert missing.exit_code == 1
        assert f"{tmp_path / 'old'}: expected an encoder folder" in missing.stderr
        assert "if it has moved, name its folder with --encoder" in missing.stderr
        foreign = run(*command, "--encoder", "other")
        assert foreign.exit_code == 1
        assert f"were encoded by {tmp_path / 'old'} (sha256:" in foreign.stderr
        assert f"but {tmp_path / 'other'} is another encoder (sha256:" in foreign.stderr
        assert run(*command, "--encoder", "nowhere").exit_code == 1
    assert run("add", "words", "more.txt", "--encoder", "new").exit_code == 0
    assert run("add", "words", "more.txt").exit_code == 0  # the index stores the new place
    Path("new").rename("newer")
    update = run("index", "more.txt", "-o", "indexes/words", "--update", "--encoder", "newer")
    assert update.exit_code == 0
    assert run("index", "more.txt", "-o", "indexes/words", "--update").exit_code == 0
    assert run("query", "fear", "-i", "words").exit_code == 0


GERMAN = "Die alten Häuser am See wurden im letzten Winter verkauft.\nDer Ausschuss veröffentlicht seinen Bericht.\n"


def test_the_language_is_detected_and_shown(run, tmp_path, tiny_folder):
    (tmp_path / "texte.txt").write_text(GERMAN, encoding="utf-8")
    result = run("index", tmp_path / "texte.txt", "-o", tmp_path / "i", "--encoder", tiny_folder)
    assert result.exit_code == 0, result.output
    assert "languages:  de\n" in result.stdout
    assert "languages:  de\n" in run("info", tmp_path / "i").stdout
    assert json.loads(run("info", tmp_path / "i", "--json").stdout)["languages"] == ["de"]
    found = run("query", "Haus", "-i", tmp_path / "i", "--mode", "lexical", "--json")
    assert json.loads(found.stdout)["hits"][0]["highlights"] == [[10, 16]]


def test_an_unknown_language_is_an_error_that_names_the_known_ones(run, corpus, tiny_folder):
    result = run("index", corpus, "--encoder", tiny_folder, "--language", "english")
    assert result.exit_code == 1
    assert "language: expected auto or some of ar, bg, cs, " in result.stderr
    assert "got 'english'" in result.stderr
    assert not Path("indexes/words").exists()


def test_an_update_keeps_the_language(run, tmp_path, tiny_folder):
    (tmp_path / "texte.txt").write_text(GERMAN, encoding="utf-8")
    run("index", tmp_path / "texte.txt", "-o", tmp_path / "i", "--encoder", tiny_folder)
    result = run("index", tmp_path / "texte.txt", "-o", tmp_path / "i", "--update", "--language", "en")
    assert result.exit_code == 2
    assert "--language does not go with --update" in result.stderr
    assert run("index", tmp_path / "texte.txt", "-o", tmp_path / "i", "--update").exit_code == 0
