"""Intervals by drawing queries anew: as a loop would draw them, the same each time, and honest about differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuwen.errors import InputError, UsageError
from tuwen.evaluate import bootstrap
from tuwen.evaluate.scored import Made, Table

MADE = {
    "r1": Made("texts", "hit"),
    "rank": Made("texts", "rank", "median"),
    "other": Made("pictures", "hit"),
    "both": Made(of=("r1", "other")),
}


def tables(count: int = 40, seed: int = 0) -> dict[str, Table]:
    random = np.random.default_rng(seed)
    texts = [f"t{number}" for number in range(count)]
    return {
        "texts": {"id": texts, "hit": random.integers(0, 2, count).astype(float), "rank": random.integers(1, 9, count)},
        "pictures": {"id": texts[: count // 2], "hit": random.random(count // 2)},
    }


def test_draws_are_those_of_a_loop_over_the_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = tables()
    whole = bootstrap.drawn(queries, MADE, 30, seed=3)
    monkeypatch.setattr(bootstrap, "DRAWN_AT_ONCE", 100)  # two draws of 40 queries at a time
    assert all(
        np.array_equal(whole[name], values) for name, values in bootstrap.drawn(queries, MADE, 30, seed=3).items()
    )
    random = np.random.default_rng(bootstrap._seed(3, "texts"))
    places = [random.integers(0, 40, 40) for _ in range(30)]
    hit, rank = (np.asarray(queries["texts"][name], dtype=float) for name in ("hit", "rank"))
    np.testing.assert_allclose(whole["r1"], [hit[chosen].mean() for chosen in places])
    np.testing.assert_array_equal(whole["rank"], [np.median(rank[chosen]) for chosen in places])
    np.testing.assert_allclose(whole["both"], (whole["r1"] + whole["other"]) / 2)


def test_queries_of_one_picture_are_drawn_together() -> None:
    random = np.random.default_rng(4)
    pictures = random.integers(0, 12, 40)  # in no order, of one to several queries
    hit, rank = random.random(40), random.integers(1, 9, 40).astype(float)
    table: Table = {"id": list(map(str, range(40))), "hit": hit, "rank": rank, "image": [f"p{one}" for one in pictures]}
    found = bootstrap.drawn({"texts": table}, {"r1": MADE["r1"], "rank": MADE["rank"]}, 30, seed=3)
    groups = [np.flatnonzero(pictures == one) for one in dict.fromkeys(pictures)]
    chances = np.random.default_rng(bootstrap._seed(3, "texts"))
    draws = [np.concatenate([groups[one] for one in chances.integers(0, len(groups), len(groups))]) for _ in range(30)]
    np.testing.assert_allclose(found["r1"], [hit[draw].mean() for draw in draws])
    np.testing.assert_array_equal(found["rank"], [np.median(rank[draw]) for draw in draws])


def test_five_captions_that_say_the_same_are_no_more_certain_than_one() -> None:
    hit = np.random.default_rng(0).integers(0, 2, 100).astype(float)
    once: dict[str, Table] = {"texts": {"id": list(map(str, range(100))), "hit": hit}}
    five: dict[str, Table] = {"texts": {"id": list(map(str, range(500))), "hit": np.repeat(hit, 5)}}
    made = {"r1": Made("texts", "hit")}
    (low, high) = bootstrap.intervals(once, made)["r1"]
    independent = bootstrap.intervals(five, made)["r1"]
    assert independent[1] - independent[0] < 0.6 * (high - low)
    five["texts"]["image"] = np.repeat(np.arange(100), 5)
    assert bootstrap.intervals(five, made)["r1"] == pytest.approx((low, high))


def test_runs_are_compared_by_the_pictures_of_the_first() -> None:
    first, second = tables(), tables(seed=1)
    first["texts"]["image"] = [f"p{number // 5}" for number in range(40)]
    found = bootstrap.differences(first, second, MADE, 200, seed=1)  # one that says of no query which picture it is of
    second["texts"]["image"] = first["texts"]["image"]
    assert bootstrap.differences(first, second, MADE, 200, seed=1) == found


def test_an_interval_is_as_wide_as_theory_says() -> None:
    hit = np.r_[np.ones(600), np.zeros(400)]
    queries: dict[str, Table] = {"texts": {"id": list(map(str, range(1000))), "hit": hit}}
    (low, high) = bootstrap.intervals(queries, {"r1": Made("texts", "hit")}, 4000)["r1"]
    half = 1.96 * np.sqrt(0.6 * 0.4 / 1000)
    assert low == pytest.approx(0.6 - half, abs=0.004)
    assert high == pytest.approx(0.6 + half, abs=0.004)


def test_a_seed_gives_the_same_interval_whatever_other_tables_there_are() -> None:
    queries = tables()
    alone = bootstrap.intervals({"texts": queries["texts"]}, {"r1": MADE["r1"]}, 50, seed=1)
    assert bootstrap.intervals(queries, MADE, 50, seed=1)["r1"] == alone["r1"]
    assert bootstrap.intervals(queries, MADE, 50, seed=2)["r1"] != alone["r1"]


def test_equal_runs_do_not_differ_and_the_order_of_rows_does_not_matter() -> None:
    queries = tables()
    turned: dict[str, Table] = {
        name: {column: values[::-1] for column, values in table.items()} for name, table in queries.items()
    }
    for difference in bootstrap.differences(queries, turned, MADE, 100).values():
        assert difference.value == difference.low == difference.high == 0
        assert difference.p == 1


def test_a_difference_in_every_query_is_sure_and_a_difference_in_one_is_not() -> None:
    better, worse = tables(), tables()
    worse["texts"]["hit"] = np.asarray(worse["texts"]["hit"]) - 0.1
    one = np.asarray(better["pictures"]["hit"]).copy()
    one[3] += 0.5
    worse["pictures"]["hit"] = one
    found = bootstrap.differences(better, worse, MADE, 999)
    assert found["r1"].value == pytest.approx(0.1)
    assert found["r1"].low == pytest.approx(0.1)
    assert found["r1"].p == pytest.approx(2 / 1000)
    assert found["other"].value < 0
    assert found["other"].p > 0.05
    back = bootstrap.differences(worse, better, MADE, 999)
    assert back["other"].value == pytest.approx(-found["other"].value)


def test_rows_of_one_id_are_matched_in_their_order() -> None:
    first: dict[str, Table] = {"texts": {"id": ["a", "a", "b"], "hit": np.array([1.0, 0.0, 1.0])}}
    second: dict[str, Table] = {"texts": {"id": ["b", "a", "a"], "hit": np.array([1.0, 1.0, 0.0])}}
    found = bootstrap.differences(first, second, {"r1": Made("texts", "hit")}, 50)
    assert found["r1"].low == found["r1"].high == 0


def test_runs_of_other_queries_are_not_compared() -> None:
    with pytest.raises(InputError, match=r"other queries \(texts: 40 and 38, 38 in both\)"):
        bootstrap.differences(tables(40), tables(38), MADE, 10)


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"level": 1.0}])
def test_impossible_draws_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        bootstrap.intervals(tables(), MADE, **wrong)


# -- where all draws agree --------------------------------------------------------------------------------------------


def one_table(count: int, **columns: Any) -> dict[str, Table]:
    return {"texts": {"id": list(map(str, range(count))), **columns}}


def test_all_or_none_of_forty_right_is_no_certainty() -> None:
    made = {"all": Made("texts", "all"), "none": Made("texts", "none"), "mean": Made(of=("all", "none"))}
    found = bootstrap.intervals(one_table(40, all=np.ones(40), none=np.zeros(40)), made, 50)
    assert found["all"] == pytest.approx((0.91238, 1), abs=1e-5)  # 40 / (40 + 1.96 ** 2)
    assert found["none"] == pytest.approx((0, 0.08762), abs=1e-5)
    assert found["mean"] == pytest.approx((0.45619, 0.54381), abs=1e-5)
    assert found["all"][1] == 1.0
    assert found["none"][0] == 0.0


def test_pictures_are_the_trials_where_pictures_are_drawn() -> None:
    made = {"hit": Made("texts", "hit")}
    alone = bootstrap.intervals(one_table(8, hit=np.ones(8)), made, 50)["hit"]
    found = bootstrap.intervals(one_table(40, hit=np.ones(40), image=np.arange(40) // 5), made, 50)["hit"]
    assert found == pytest.approx(alone)


def test_pictures_of_equal_shares_have_wilsons_interval_around_that() -> None:
    hit = np.tile([1.0, 0.0], 5)
    made = {"hit": Made("texts", "hit")}
    (low, high) = bootstrap.intervals(one_table(10, hit=hit, image=np.arange(10) // 2), made, 50)["hit"]
    z = 1.959964
    half = z * np.sqrt(0.25 / 5 + z * z / 100) / (1 + z * z / 5)  # of five trials
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)


def test_other_figures_keep_what_was_drawn() -> None:
    columns = {"hit": np.r_[np.ones(39), 0.0], "part": np.full(40, 0.3), "rank": np.ones(40)}
    made = {name: Made("texts", name, "median" if name == "rank" else "mean") for name in columns}
    queries = one_table(40, **columns)
    assert not bootstrap.wilson(queries, made)
    found = bootstrap.intervals(queries, made, 50)
    assert found["part"] == pytest.approx((0.3, 0.3))
    assert found["rank"] == (1, 1)
    assert found["hit"][0] < 0.975 < found["hit"][1]
