"""Each private format of Tantivy that hpdsearch relies on, compared with the installed version of Tantivy."""

import configparser
import json
import math
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tantivy
from lexical_folders import write_folder

from hpdsearch.lexical import tantivy_formats
from hpdsearch.lexical.tantivy_formats import (
    K1,
    B,
    active_file_names,
    collection_statistics,
    count_rows,
    idf,
    is_intact,
    is_own_file,
    round_lengths,
)
from hpdsearch.lexical.writer import LexicalWriter

CHANGED = f"tantivy {version('tantivy')} has changed a format that hpdsearch/lexical/tantivy_formats.py relies on"
LENGTHS = [*range(1, 50), 55, 56, 57, 58, 87, 88, 89, 90, 100, 200, 500, 1_000, 4_000, 9_999]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one row for each length; row 3 holds "kon" three times, row 4 is deleted."""
    pairs = [("", " ".join(["kon"] * (3 if row == 3 else 1) + ["tar"] * length)) for row, length in enumerate(LENGTHS)]
    path = tmp_path_factory.mktemp("formats") / "l"
    write_folder(path, pairs, commits=3)
    writer = LexicalWriter(path)
    writer.remove([4])
    writer.commit()
    writer.close()
    return path


@pytest.fixture(scope="module")
def explanations(folder: Path) -> dict[int, str]:
    """Return Tantivy's explanation of the score of "kon" by row."""
    index = tantivy.Index.open(str(folder))
    searcher = index.searcher()
    query = tantivy.Query.term_query(index.schema, "body", "kon", index_option="freq")
    addresses = [address for _, address in searcher.search(query, limit=1000).hits]
    rows = searcher.fast_field_values("row", addresses)
    return {row: query.explain(searcher, address).to_json() for row, address in zip(rows, addresses, strict=True)}


def values(explanation: str) -> dict[str, float]:
    """Return the numbers of an explanation by the first word of their description."""

    def walk(part: dict[str, Any]) -> dict[str, float]:
        found = {part["description"].split(",")[0]: part["value"]}
        for detail in part.get("details", []):
            found |= walk(detail)
        return found

    return walk(json.loads(explanation))


def test_the_installed_version_is_one_that_was_compared() -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    required = setup["options"]["install_requires"].splitlines()
    assert f"tantivy{tantivy_formats.SUPPORTED_VERSIONS}" in [line.strip() for line in required]
    lowest, end = (
        tuple(map(int, part.strip("<>=").split("."))) for part in tantivy_formats.SUPPORTED_VERSIONS.split(",")
    )
    installed = tuple(map(int, version("tantivy").split(".")[:2]))
    assert lowest <= installed < end, "run this file with the new version, then allow it in setup.cfg and the module"


def test_the_statistics_are_those_of_all_rows(explanations: dict[int, str]) -> None:
    for explanation in explanations.values():
        n_rows, mean_length = collection_statistics(explanation)
        lengths = [length + (3 if row == 3 else 1) for row, length in enumerate(LENGTHS)]
        assert n_rows == len(LENGTHS), CHANGED  # deleted rows count until a merge
        assert mean_length == pytest.approx(np.mean(lengths), rel=1e-5), CHANGED


def test_an_explanation_of_another_form_says_which_version_to_install() -> None:
    for explanation in ("{", "{}", '{"details": [{"description": "N, total number of docs", "value": 3.0}]}', "[]"):
        with pytest.raises(RuntimeError, match=r'expected N and avgdl .* pip install "tantivy>='):
            collection_statistics(explanation)


def test_the_constants_of_bm25_are_tantivy_s(explanations: dict[int, str]) -> None:
    found = values(explanations[3])
    assert (found["k1"], found["b"]) == pytest.approx((K1, B)), CHANGED


def test_the_score_equals_our_bm25(explanations: dict[int, str]) -> None:
    for row, explanation in explanations.items():
        found = values(explanation)
        n_rows, mean_length = collection_statistics(explanation)
        frequency = 3 if row == 3 else 1
        length = round_lengths(np.array([LENGTHS[row] + frequency]))[0]
        norm = K1 * (1 - B + B * length / mean_length)
        expected = idf(n_rows, n_rows) * (1 + K1) * frequency / (frequency + norm)
        assert json.loads(explanation)["value"] == pytest.approx(expected, rel=1e-4), CHANGED
        assert found["freq"] == frequency


def test_idf_is_that_of_the_probabilistic_model() -> None:
    assert idf(10, 3) == pytest.approx(math.log(1 + 7.5 / 3.5))


def test_lengths_are_rounded_as_tantivy_stores_them(explanations: dict[int, str]) -> None:
    rows = sorted(explanations)
    lengths = np.array([LENGTHS[row] + (3 if row == 3 else 1) for row in rows])
    assert round_lengths(lengths).tolist() == [values(explanations[row])["dl"] for row in rows], CHANGED
    assert (round_lengths(lengths) < lengths).any()


def test_meta_json_names_the_files_and_counts_the_rows(folder: Path) -> None:
    meta = (folder / "meta.json").read_bytes()
    written = {path.name for path in folder.iterdir() if not path.name.startswith(".") and path.name != "meta.json"}
    assert set(active_file_names(meta)) <= written, CHANGED
    assert {name.split(".")[-1] for name in active_file_names(meta)} == {path.split(".")[-1] for path in written}, (
        CHANGED
    )
    assert count_rows(json.loads(meta)) == len(LENGTHS) - 1, CHANGED
    assert {"opstamp", "schema", "index_settings"} <= set(json.loads(meta)), CHANGED
    assert all(is_own_file(folder / name) for name in written)
    assert not is_own_file(folder / "meta.json")


def test_every_file_ends_with_the_crc32_of_its_body(folder: Path) -> None:
    for name in active_file_names((folder / "meta.json").read_bytes()):
        data = (folder / name).read_bytes()
        assert int.from_bytes(data[-4:], "little") == tantivy_formats.FOOTER_MAGIC, CHANGED
        length = int.from_bytes(data[-8:-4], "little")
        assert json.loads(data[-8 - length : -8])["crc"] == zlib.crc32(data[: -8 - length]), CHANGED
        assert is_intact(folder / name)
