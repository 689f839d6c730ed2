"""Drawings of recall against time: points stand where they belong, and everything is named."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tuwen.evaluate import sweep
from tuwen.evaluate.scored import Table

SVG = "{http://www.w3.org/2000/svg}"
DEPTHS = [0, 16, 32, 64, 128]
TIMES = [6.0, 412.0, 800.0, 1610.0, 3300.0]


def swept(times: list[float] = TIMES, sides: tuple[str, ...] = ("text_to_image", "image_to_text")) -> Table:
    table: Table = {"id": [str(depth) for depth in DEPTHS], "depth": np.array(DEPTHS), "milliseconds": np.array(times)}
    for start, side in zip((0.7, 0.8), sides, strict=False):
        for k, more in (("r1", 0.0), ("r5", 0.05), ("r10", 0.1)):
            table[f"{side}_{k}"] = start + more + np.array([0, 0.05, 0.06, 0.065, 0.066])
    return table


def lines(table: Table) -> list[list[tuple[float, float]]]:
    """The points of each line, without those beside the names."""
    drawing = ElementTree.fromstring(sweep.svg(table))
    drawn = [line.get("points", "").split(" ") for line in drawing.iter(f"{SVG}polyline")]
    return [[tuple(map(float, point.split(","))) for point in line] for line in drawn if len(line) > 2]  # type: ignore[misc]


def test_points_stand_at_their_time_and_share() -> None:
    found = lines(swept())
    assert len(found) == 6  # three recalls in two directions
    for line in found:
        across = [x for x, _ in line]
        assert across == sorted(across)
        steps = np.diff(across) / np.diff(np.log(TIMES))
        np.testing.assert_allclose(steps, steps[0], rtol=0.02)  # logarithmic
        up = [y for _, y in line]
        assert up == sorted(up, reverse=True)  # more is higher
        assert all(sweep.LEFT <= x <= sweep.WIDTH - sweep.RIGHT for x in across)
        assert all(sweep.TOP <= y <= sweep.HEIGHT - sweep.LOW for y in up)


def test_axes_have_units_depths_are_named_and_so_are_directions() -> None:
    said = [text.text for text in ElementTree.fromstring(sweep.svg(swept())).iter(f"{SVG}text")]
    for one in (
        "一次搜索的毫秒数（对数） / ms of one search (log)",
        "R@1 (%)",
        "R@5 (%)",
        "R@10 (%)",
        "以图搜文 / image to text",
    ):
        assert one in said
    assert all(said.count(str(depth)) >= 3 for depth in DEPTHS)


def test_the_page_says_it_in_either_language_and_takes_its_colours() -> None:
    html = sweep.html(swept(sides=("image_to_text",)))
    assert html.count("<svg ") == 3
    assert "以文搜图" not in html
    assert html.count('class="zh ink"') == html.count('class="en ink"') > 0
    assert "#" not in html  # no colour of its own
    ElementTree.fromstring(html)


def test_depths_that_stand_close_are_written_on_two_lines() -> None:
    drawing = ElementTree.fromstring(sweep.svg(swept([10.0, 10.1, 10.2, 50.0, 51.0])))
    places = {text.text: text.get("y") for text in drawing.iter(f"{SVG}text") if text.text in ("0", "16", "64", "128")}
    assert places["16"] != places["0"]
    assert places["128"] != places["64"]


def test_a_set_in_parts_has_the_mean_of_its_parts() -> None:
    whole = swept()
    parts: Table = {
        name: [*column, *column] if isinstance(column, list) else np.concatenate([0.9 * column, 1.1 * column])
        for name, column in whole.items()
    }
    parts["depth"] = np.array(DEPTHS * 2)
    assert lines(parts) == lines(whole)


@pytest.mark.parametrize("times", [[0.0, 1, 2, 3, 4], [5.0] * 5, [1.0, 10, 100, 1000, 100000]])
def test_any_times_and_shares_can_be_drawn(times: list[float]) -> None:
    table = swept(times)
    for value in (0.0, 0.5, 1.0):
        table["text_to_image_r1"] = np.full(len(DEPTHS), value)
        table["image_to_text_r1"] = np.full(len(DEPTHS), value)
        found = lines(table)
        assert all(math.isfinite(x) and sweep.TOP <= y <= sweep.HEIGHT - sweep.LOW for line in found for x, y in line)


def test_the_file_is_written_whole(tmp_path: Path) -> None:
    sweep.write(tmp_path / "new" / "sweep.svg", swept())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sweep.svg"]
    assert (tmp_path / "new" / "sweep.svg").read_text(encoding="utf-8") == sweep.svg(swept())
