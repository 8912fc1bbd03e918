"""Test the fusion benchmark by hand."""

import pytest

from benchmarks.quality import fusion

DENSE = [("a", 0.9), ("b", 0.6), ("c", 0.5)]
LEXICAL = [("c", 8.0), ("d", 2.0)]


def test_reciprocal_ranks_by_hand():
    assert fusion.rrf(10, 0.25)(DENSE, LEXICAL) == pytest.approx(
        {"a": 0.25 / 11, "b": 0.25 / 12, "c": 0.25 / 13 + 0.75 / 11, "d": 0.75 / 12}
    )


def test_weighted_sums_by_hand():
    assert fusion.fusion_methods()[fusion.CHOSEN](DENSE, LEXICAL) == pytest.approx(
        {"a": 0.72, "b": 0.48, "c": 0.4 + 0.2, "d": 0.4 + 0.2 * 0.25}
    )
    assert fusion.convex(fusion.min_max, fusion.min_max, 0.5)(DENSE, LEXICAL) == pytest.approx(
        {"a": 0.5, "b": 0.125, "c": 0.5, "d": 0.0}
    )
    assert fusion.fusion_methods()[fusion.CHOSEN](DENSE, []) == pytest.approx({"a": 0.72, "b": 0.48, "c": 0.4})


def test_each_collection_is_evaluated_with_the_method_that_is_best_on_the_others():
    flat = dict.fromkeys(["x", "y", "z"], 0.0)
    table = {fusion.USUAL: {"x": 9.0, "y": 1.0, "z": 1.0}, "rrf 10, depth 50": {"x": 0.0, "y": 4.0, "z": 4.0}}
    table |= {"min-max": flat, "cosine": flat}
    chosen = fusion.choose_without(table)["best of all, chosen without the collection"]
    assert chosen == {"x": 0.0, "y": 1.0, "z": 1.0}
