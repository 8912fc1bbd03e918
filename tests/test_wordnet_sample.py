"""The shipped sample corpus, and the script that makes it from WordNet's data files."""

import gzip
import json
import runpy
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "examples" / "wordnet.jsonl.gz"
SCRIPT = ROOT / "scripts" / "make_wordnet_sample.py"

LICENSE = [
    "  1 This software and database is being provided to you, the LICENSEE, by",
    "  2 Princeton University under the following license.  By obtaining, using",
]
# Two synsets a file, in the form of wndb(5WN): head, gloss. The expected records stand below.
DATA = {
    "noun": [
        "02958343 06 n 03 car 0 motor_car 1 auto 0 002 @ 03791235 n 0000 ~ 02701002 n 0000 | "
        'a motor vehicle with four wheels; usually propelled by an engine; "he needs a car to get to work"; '
        '"is it `fast\'?"',
        "00001740 03 n 01 pH 0 000 | pH values below 7",
    ],
    "verb": [
        "00001740 29 v 02 breathe 0 take_a_breath 0 001 * 00005041 v 0000 02 + 02 00 + 08 00 | "
        'draw air into, and expel out of, the lungs;  "I can breathe better when the air is clean"',
        '02162180 39 v 01 refocus 0 000 01 + 08 00 | focus once again; The physicist refocused the light beam"',
    ],
    "adj": [
        "00019731 00 s 03 handy(a) 0 ready_to_hand(p) 0 galore(ip) 1 001 & 00019131 a 0000 | "
        "(of tools) easy to reach; found in_most kitchens ;",
        "02600000 44 a 0b a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 k(n) 0 000 | "
        'of eleven letters; "said so"- A. Nonymous',
    ],
    "adv": [
        '00001740 02 r 01 a_cappella 0 000 | without accompaniment, "as in a chapel"',
        '00001837 02 r 02 AD 0 A.D. 0 001 ;u 07155661 n 0000 | in the Christian era; used before dates; "in AD 200"',
    ],
}
RECORDS = [
    {
        "id": "n02958343",
        "title": "car, motor car, auto",
        "text": "A motor vehicle with four wheels; usually propelled by an engine. "
        '"he needs a car to get to work"; "is it \'fast\'?".',
        "pos": "noun",
        "domain": "artifact",
        "words": 3,
    },
    {"id": "n00001740", "title": "pH", "text": "pH values below 7.", "pos": "noun", "domain": "Tops", "words": 1},
    {
        "id": "v00001740",
        "title": "breathe, take a breath",
        "text": 'Draw air into, and expel out of, the lungs. "I can breathe better when the air is clean".',
        "pos": "verb",
        "domain": "body",
        "words": 2,
    },
    {
        "id": "v02162180",
        "title": "refocus",
        "text": "Focus once again; The physicist refocused the light beam.",
        "pos": "verb",
        "domain": "perception",
        "words": 1,
    },
    {
        "id": "a00019731",
        "title": "handy, ready to hand, galore",
        "text": "(of tools) easy to reach; found in most kitchens.",
        "pos": "adjective",
        "domain": "all",
        "words": 3,
    },
    {
        "id": "a02600000",
        "title": "a, b, c, d, e, f, g, h, i, j, k(n)",
        "text": 'Of eleven letters. "said so"- A. Nonymous.',
        "pos": "adjective",
        "domain": "ppl",
        "words": 11,
    },
    {
        "id": "r00001740",
        "title": "a cappella",
        "text": 'Without accompaniment, "as in a chapel".',
        "pos": "adverb",
        "domain": "all",
        "words": 1,
    },
    {
        "id": "r00001837",
        "title": "AD, A.D.",
        "text": 'In the Christian era; used before dates. "in AD 200".',
        "pos": "adverb",
        "domain": "all",
        "words": 2,
    },
]


def write_data_file(path: Path, synsets: list[str]) -> None:
    # Every line of the real files, license and synset alike, ends with two spaces.
    path.write_text("".join(line + "  \n" for line in [*LICENSE, *synsets]), encoding="utf-8")


def read_lines(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def sample() -> list[dict]:
    return read_lines(SAMPLE)


@pytest.fixture
def dict_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dict"
    folder.mkdir()
    for ending, synsets in DATA.items():
        write_data_file(folder / f"data.{ending}", synsets)
    return folder


def run_script(folder: Path, output: Path) -> Result:
    return CliRunner().invoke(runpy.run_path(str(SCRIPT))["main"], [str(folder), "-o", str(output)])


def test_the_sample_holds_the_number_of_synsets_that_wordnet_states(sample):
    # Rows of the manual page wnstats(7WN); the total that Debian's copy gives is not their sum.
    assert Counter(record["pos"] for record in sample) == {
        "noun": 82115,
        "verb": 13767,
        "adjective": 18156,
        "adverb": 3621,
    }


def test_ids_in_the_sample_are_unique_and_begin_with_the_part_of_speech(sample):
    assert len({record["id"] for record in sample}) == len(sample)
    letters = {"n": "noun", "v": "verb", "a": "adjective", "r": "adverb"}
    assert all(letters[record["id"][0]] == record["pos"] for record in sample)


def test_every_record_of_the_sample_has_all_fields_and_a_text(sample):
    types = {"id": str, "title": str, "text": str, "pos": str, "domain": str, "words": int}
    for record in sample:
        assert {name: type(value) for name, value in record.items()} == types
        assert all(value.strip() == value != "" for value in record.values() if isinstance(value, str))
        assert record["words"] >= 1


def test_the_sample_holds_no_markup_of_the_file_format(sample):
    for record in sample:
        assert record["text"].count('"') % 2 == 0
        assert not set("_`|\n") & set(record["title"] + record["text"])
        assert not record["title"].endswith(("(a)", "(p)", "(ip)"))


@pytest.mark.parametrize(
    ("doc_id", "title", "text", "domain"),
    [
        ("n14383252", "claustrophobia", "A morbid fear of being closed in a confined space.", "state"),
        (
            "n04168840",
            "seismograph",
            "A measuring instrument for detecting and measuring the intensity and direction and duration of movements "
            "of the ground (as an earthquake).",
            "artifact",
        ),
        ("n07527656", "elation, high spirits, lightness", "A feeling of joy and pride.", "feeling"),
    ],
)
def test_synsets_checked_by_hand_are_in_the_sample(sample, doc_id, title, text, domain):
    [record] = [record for record in sample if record["id"] == doc_id]
    words = title.count(",") + 1
    assert record == {"id": doc_id, "title": title, "text": text, "pos": "noun", "domain": domain, "words": words}


def test_the_script_turns_data_files_into_readable_records(dict_folder, tmp_path):
    result = run_script(dict_folder, tmp_path / "out.jsonl.gz")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("8 synsets")
    assert read_lines(tmp_path / "out.jsonl.gz") == RECORDS


def test_equal_data_files_give_equal_bytes(dict_folder, tmp_path, monkeypatch):
    run_script(dict_folder, tmp_path / "first.jsonl.gz")
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)  # gzip would write the time into its header
    run_script(dict_folder, tmp_path / "second.jsonl.gz")
    assert (tmp_path / "first.jsonl.gz").read_bytes() == (tmp_path / "second.jsonl.gz").read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        "00001740 03 n 01 entity 0 000",  # no gloss
        "00001740 03 n 01 entity 0 000 | ",  # blank gloss
        "00001740 03 n 04 entity 0 000 | fewer words than the line promises",
        "00001740 29 v 01 breathe 0 000 | a verb among the nouns",
        "00001740 99 n 01 entity 0 000 | no such lexicographer file",
        "1740 03 n 01 entity 0 000 | an offset that is too short",
        "cut off",
    ],
)
def test_the_error_for_a_line_that_is_no_synset_names_file_and_line(dict_folder, tmp_path, line):
    write_data_file(dict_folder / "data.noun", [line])
    result = run_script(dict_folder, tmp_path / "out.jsonl.gz")
    assert result.exit_code == 1
    assert f"data.noun:3: expected a synset of data.noun as in wndb(5WN), got '{line[:60]}" in result.output
    assert not list(tmp_path.glob("out.*")), "nothing half written may stay"


def test_the_error_for_a_folder_without_data_files_names_the_file(tmp_path):
    result = run_script(tmp_path, tmp_path / "out.jsonl.gz")
    assert result.exit_code == 1
    assert f"{tmp_path / 'data.noun'}: expected WordNet's data file" in result.output


def test_the_license_of_wordnet_is_beside_the_sample_and_in_the_notice():
    first, last = "This software and database is being provided to you", "LICENSEE agrees to preserve same."
    copies = []
    for path in (ROOT / "NOTICE", ROOT / "examples" / "README.md"):
        text = " ".join(path.read_text(encoding="utf-8").split())
        copies.append(text[text.index(first) : text.index(last)])
    assert copies[0] == copies[1]
    assert "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved." in copies[0]
