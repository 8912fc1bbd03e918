"""The curve of quality against hours of training: its points are the rows of the result of quality.among."""

import importlib
import json
import sys

import pytest

curve = importlib.import_module("benchmarks.quality.curve")


def row(what, system, dim, score):
    sizes = {"10,000": {"nDCG@10": score + 5}, "100,000": {"nDCG@10": score}}
    return {"what": what, "system": system, "dim": dim, "documents": sizes}


ROWS = [
    row("teacher", "big", 768, 57.0),
    row("peer", "MiniLM", 384, 49.0),
    row("peer", "MiniLM projected", 256, 48.0),
    row("encoder", "first", 256, 50.0),
    row("encoder", "first", 128, 47.0),
    row("encoder", "base", 256, 51.5),
    row("encoder", "base", 128, 48.5),
    row("peer", "model2vec", 256, 30.0),
]


def run(tmp_path, monkeypatch, *stages):
    among = {"systems": ROWS, "date": "2026-11-28", "commit": "abc", "machine": {"processor": "any"}}
    (tmp_path / "among.json").write_text(json.dumps(among))
    words = ["curve.py", *stages, "--among", tmp_path / "among.json", "-o", tmp_path / "training.json"]
    words += ["--picture", tmp_path / "training.svg"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    curve.main()
    return json.loads((tmp_path / "training.json").read_text())


def test_points_and_levels_are_those_among_the_most_documents(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    made = run(tmp_path, monkeypatch, "first=0.7", "base=2")
    assert [(one["system"], one["dim"], one.get("hours"), one["median"]) for one in made["measurements"]] == [
        ("first", 256, 0.7, 50.0),
        ("first", 128, 0.7, 47.0),
        ("base", 256, 2.0, 51.5),
        ("base", 128, 2.0, 48.5),
        ("big", 768, None, 57.0),
        ("MiniLM", 384, None, 49.0),
    ]
    assert made["settings"]["among"]["date"] == "2026-11-28"
    picture = (tmp_path / "training.svg").read_text()
    assert "hours of training" in picture
    assert "base, 128 dimensions" in picture


def test_a_stage_must_be_in_the_result(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="other: no row of it at 256 dimensions"):
        run(tmp_path, monkeypatch, "other=3")


@pytest.mark.parametrize("stage", ["base", "base=", "=1", "base=0", "base=-1", "base=much"])
def test_a_stage_is_a_name_and_hours(stage, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, monkeypatch, stage)
    assert "NAME=HOURS" in capsys.readouterr().err
