"""Answers name the shards that did not answer, in JSON and on a terminal; those of other indexes do not."""

from hpdsearch.cli.display import show_hits
from hpdsearch.records import Hit, Hits, describe_answer, describe_like

HIT = Hit("a", 0.5, "", "text", "text")


def test_json_names_the_missing_shards() -> None:
    partial = Hits([HIT, HIT], ["shard-00001"])
    assert describe_answer("1", "q", partial, 1.0)["missing_shards"] == ["shard-00001"]
    assert describe_answer("1", "q", partial[1:], 1.0)["missing_shards"] == ["shard-00001"]
    assert describe_like("a", Hits([], ["shard-00001"]), 1.0)["missing_shards"] == ["shard-00001"]
    assert describe_answer("1", "q", Hits([HIT]), 1.0)["missing_shards"] == []
    assert "missing_shards" not in describe_answer("1", "q", [HIT], 1.0)


def test_a_terminal_shows_that_an_answer_is_partial(capsys) -> None:
    show_hits(Hits([], ["shard-00001", "shard-00004"]), 1.0)
    assert "partial answer: shard-00001, shard-00004 did not answer in time" in capsys.readouterr().out
    show_hits(Hits([HIT]), 1.0)
    assert "partial" not in capsys.readouterr().out


def test_hits_are_a_list() -> None:
    hits = Hits([HIT], ["s"])
    assert hits == [HIT]
    assert hits[0] is HIT
    assert isinstance(hits[:1], Hits)
