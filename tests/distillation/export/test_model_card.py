import dataclasses
from pathlib import Path

import pytest
import yaml

from hpdsearch.distillation.export.model_card import CardFields, TextSource, read_license, render_model_card
from hpdsearch.distillation.student.initial_model import load_initial_model
from hpdsearch.encoder.folder import built_in_names

FIELDS = CardFields(
    name="small",
    license="Apache-2.0",
    teacher="sentence-transformers/all-mpnet-base-v2",
    student='odd: "name" # of a base',
    licenses={"sentence-transformers/all-mpnet-base-v2": "Apache-2.0", "Wiktionary": "CC-BY-SA-4.0"},
    space="sha256:12ab",
    dim=256,
    max_tokens=200,
    sources=[TextSource("Wiktionary", 120_000, "CC-BY-SA-4.0"), TextSource("pipes | and news", 3_456, "CC0-1.0")],
    results={"agreement": "0.9123", "sts | student": "79.1"},
    command="hpdsearch distill texts.txt --teacher all-mpnet-base-v2",
)


def cells(card: str, heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, without its head."""
    part = card.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")] for line in lines]


def test_the_front_matter_is_yaml_that_the_hub_understands() -> None:
    _, head, _ = render_model_card(FIELDS).split("---\n", 2)
    read = yaml.safe_load(head)
    assert (read["license"], read["pipeline_tag"], read["language"]) == ("apache-2.0", "sentence-similarity", ["en"])
    assert read["base_model"] == [FIELDS.student, FIELDS.teacher]
    assert "sentence-transformers" in read["tags"]


def test_sources_results_and_licenses_are_tables() -> None:
    card = render_model_card(FIELDS)
    assert cells(card, "Training texts") == [
        ["Wiktionary", "120,000", "CC-BY-SA-4.0"],
        ["pipes \0 and news", "3,456", "CC0-1.0"],
        ["total", "123,456", ""],
    ]
    assert cells(card, "Results") == [
        ["agreement", "0.9123"],
        ["sts \0 student", "79.1"],
    ]
    assert cells(card, "Licenses") == [["small", "Apache-2.0"], *map(list, FIELDS.licenses.items())]
    for told in ("`sha256:12ab`", "256 dimensions", 'Encoder.load("small")', "hpdsearch export small", FIELDS.command):
        assert told in card


def test_unknown_facts_are_omitted() -> None:
    bare = dataclasses.replace(FIELDS, student="", results={}, command="")
    card = render_model_card(bare)
    assert "## Results" not in card
    assert "Command:" not in card
    assert "starting from" not in card
    assert yaml.safe_load(card.split("---\n", 2)[1])["base_model"] == [FIELDS.teacher]


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: apache-2.0\n---\n# small\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: tiny-license\n---\n", "tiny-license"),
        ("---\nlanguage: en\n---\n", "not stated"),
        ("---\nlicense: [\n---\n", "not stated"),
        ("# no head\n", "not stated"),
        (None, "not stated"),
    ],
)
def test_the_license_is_read_from_the_card(tmp_path: Path, card: str | None, license: str) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert read_license(tmp_path) == license


def test_the_license_of_a_built_in_student_is_known() -> None:
    assert load_initial_model("base").license == "apache-2.0"


@pytest.mark.parametrize("name", built_in_names())
def test_the_cards_of_built_in_encoders_state_every_license(name: str) -> None:
    card = (Path(__file__).parents[3] / "hpdsearch" / "encoders" / name / "README.md").read_text()
    assert all(license != "not stated" for _, license in cells(card, "Licenses"))
