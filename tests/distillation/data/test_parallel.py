import gzip
import json
from pathlib import Path

import pytest

from hpdsearch.distillation.data.parallel import Pair, read_pairs
from hpdsearch.errors import DistillError

PAIRS = [Pair("The house is red.", "Das Haus ist rot.", "de"), Pair("a ship", "船", "ja"), Pair("sea", "mare")]


def write(path: Path, content: str) -> Path:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def test_both_formats_plain_and_compressed_give_the_same_pairs(tmp_path):
    columns = "The house is red.\tDas Haus ist rot.\tde\n\na ship \t船\tja\r\nsea\tmare\n"
    records = [{"text": p.text, "translation": p.translation, "language": p.language} for p in PAIRS]
    del records[2]["language"]
    objects = "\n".join(json.dumps(record) for record in records)
    for name, content in (("a.tsv", columns), ("b.tsv.gz", columns), ("c.jsonl", objects), ("d.jsonl.gz", objects)):
        assert read_pairs([write(tmp_path / name, content)]) == PAIRS, name


def test_files_are_read_in_their_order_and_a_repeated_pair_counts_once(tmp_path):
    one = write(tmp_path / "one.tsv", "sea\tmare\tit\nsea\tMeer\tde\n")
    other = write(tmp_path / "other.tsv", "sea\tMeer\tde\nsea\tmer\tfr\n")
    assert [pair.language for pair in read_pairs([one, other])] == ["it", "de", "fr"]
    assert read_pairs([]) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "sea\tmare\n", r"a\.txt: expected parallel texts in a file \.tsv, .*got another ending"),
        ("a.tsv", "sea\tmare\nonly one\n", r"a\.tsv:2: expected TEXT<TAB>TRANSLATION or .*, got 'only one'"),
        ("a.tsv", "sea\t \tit\n", r"a\.tsv:1: expected TEXT<TAB>TRANSLATION"),
        ("a.tsv", "a\tb\tc\td\n", r"a\.tsv:1: expected TEXT<TAB>TRANSLATION"),
        ("a.tsv", "\n\n", r"a\.tsv: expected parallel texts, got no line with text"),
        ("a.jsonl", '{"text": "sea", "translation": 3}\n', r'a\.jsonl:1: expected strings "text" and "translation"'),
        ("a.jsonl", '{"text": "sea"\n', r"a\.jsonl:1: expected a JSON object"),
        ("a.tsv", "sea\tm\0re\n", r"a\.tsv:1: expected text, got a NUL byte"),
    ],
)
def test_a_line_that_is_no_pair_is_an_error_that_names_it(tmp_path, name, content, message):
    with pytest.raises(DistillError, match=message):
        read_pairs([write(tmp_path / name, content)])


def test_a_missing_and_a_damaged_file_are_errors(tmp_path):
    with pytest.raises(DistillError, match=r"none\.tsv: cannot be read"):
        read_pairs([tmp_path / "none.tsv"])
    damaged = write(tmp_path / "cut.tsv.gz", "sea\tmare\tit\n" * 500)
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(DistillError, match=r"cut\.tsv\.gz: expected"):
        read_pairs([damaged])
