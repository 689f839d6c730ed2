"""Tables of runs: the best is bold, what is surely worse is marked, in every format."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.running import run
from tuwen.errors import UsageError
from tuwen.evaluate import runs, table
from tuwen.evaluate.scored import Made, Scored, Table, figures_of


@pytest.fixture
def found(tmp_path: Path) -> list[table.Grid]:
    run(tmp_path, "good_1", 0.8)
    run(tmp_path, "close", 0.79)
    run(tmp_path, "bad", 0.5)
    run(tmp_path, "bad", 0.5, set="muge", data="e")
    return table.grids(runs.find([tmp_path]), resamples=400)


def test_models_stand_by_their_first_figure_and_the_best_is_bold(found: list[table.Grid]) -> None:
    assert [grid.title for grid in found] == ["flickr30k-cn test · retrieval", "muge test · retrieval"]
    lines = table.markdown(found[:1]).splitlines()
    assert lines[2] == "| model | t2i R@1 | t2i MR |"
    names = [line.split(" ")[1] for line in lines[4:7]]
    assert names == ["good_1", "close", "bad"]
    assert lines[4].startswith("| good_1 | **80.0** ±")
    assert "**" not in lines[5] + lines[6]


def test_only_what_is_surely_worse_is_marked(found: list[table.Grid]) -> None:
    _, close, bad = found[0].rows
    assert all(cell is not None and cell.worse for cell in bad)
    assert not any(cell is None or cell.worse for cell in close)  # two of 200 queries


def test_smaller_ranks_are_better_and_are_no_shares(tmp_path: Path) -> None:
    run(tmp_path, "good", 0.8)
    run(tmp_path, "bad", 0.3)
    (grid,) = table.grids(runs.find([tmp_path]), every=True, resamples=0)
    place = grid.figures.index("text_to_image_median_rank")
    assert [(cell.value, cell.best) for row in grid.rows if (cell := row[place])] == [(1.0, True), (7.0, False)]
    assert "| **1.0** ±0.0 |" in table.markdown([grid])


def test_runs_of_other_queries_stand_unmarked_with_a_note(tmp_path: Path) -> None:
    run(tmp_path, "good", 0.8)
    run(tmp_path, "bad", 0.3, offset=90)
    (grid,) = table.grids(runs.find([tmp_path]), resamples=50)
    assert not any(cell and cell.worse for row in grid.rows for cell in row)
    assert any("bad and good are not compared" in note for note in grid.notes)


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    run(tmp_path, "same", 0.8)
    other = run(tmp_path, "same2", 0.7)
    text = other.path.read_text(encoding="utf-8").replace('"name": "same2"', '"name": "same"')
    other.path.write_text(text, encoding="utf-8")
    (grid,) = table.grids(runs.find([tmp_path]), resamples=0)
    assert grid.models == ["same (fsame, float32)", "same (fsame2, float32)"]


def test_models_on_several_sets_have_an_overview(found: list[table.Grid]) -> None:
    overview, *rest = table.with_overview(found)
    assert rest == found
    assert overview.titles() == ["flickr30k-cn test t2i R@1", "muge test t2i R@1"]
    assert overview.models == ["good_1", "close", "bad"]
    assert [[cell is None for cell in row] for row in overview.rows] == [[False, True], [False, True], [False, False]]
    assert table.with_overview(found[:1]) == found[:1]
    assert table.markdown(found).startswith("### overview")


def test_a_model_alone_is_not_the_best(found: list[table.Grid]) -> None:
    assert not any(cell and cell.best for cell in found[1].rows[0])


def test_equally_good_models_are_all_bold(tmp_path: Path) -> None:
    for name, share in (("one", 0.8), ("two", 0.8), ("bad", 0.3)):
        run(tmp_path, name, share)
    (grid,) = table.grids(runs.find([tmp_path]), resamples=50)
    assert [[cell is not None and cell.best for cell in row] for row in grid.rows] == [
        [True] * 2,
        [True] * 2,
        [False] * 2,
    ]
    assert not any(cell and cell.worse for row in grid.rows[:2] for cell in row)


def test_columns_of_an_overview_are_told_apart_by_task_options_and_data(tmp_path: Path) -> None:
    run(tmp_path, "a", 0.8)
    run(tmp_path, "a", 0.8, options={"protocol": "brivl"})
    run(tmp_path, "a", 0.8, options={"depth": [0, 16]})
    run(tmp_path, "a", 0.8, options={"depth": [0, 16]}, data="otherdata")
    found = runs.find([tmp_path])
    found.append(replace(found[0], task="two_stage"))
    grids = table.grids(found, resamples=0)
    overview, *_ = table.with_overview(grids)
    for heads in (overview.titles(), overview.chinese_titles(), [grid.title for grid in grids]):
        assert len(set(heads)) == len(heads) == 5
    assert "flickr30k-cn test t2i R@1 (retrieval) (protocol brivl)" in overview.titles()
    assert "flickr30k-cn test t2i R@1 (两阶段检索)" in overview.chinese_titles()
    assert "flickr30k-cn test · retrieval (depth 0 16, data otherd)" in [grid.title for grid in grids]


def test_csv_has_every_digit(found: list[table.Grid]) -> None:
    rows = list(csv.DictReader(io.StringIO(table.table(found))))
    first = [row for row in rows if row["set"] == "flickr30k-cn" and row["figure"] == "text_to_image_r1"]
    assert [(row["model"], float(row["value"]), row["best"]) for row in first] == [
        ("good_1", 0.8, "1"),
        ("close", 0.79, "0"),
        ("bad", 0.5, "0"),
    ]
    assert float(first[2]["difference"]) == pytest.approx(-0.3)
    assert float(first[2]["p"]) < 0.05


def test_latex_escapes_names_and_closes_what_it_opens(found: list[table.Grid]) -> None:
    text = table.latex(found)
    assert r"good\_1 & \textbf{80.0}\,$\pm$\," in text
    assert r"$^\dagger$" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
    assert text.count("{") == text.count("}")
    assert "%" not in text.replace(r"\%", "").replace("% needs", "")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_of_tables_is_whole_and_links_to_pages_of_runs(tmp_path: Path) -> None:
    one = run(tmp_path / "runs", "a", 0.8)
    one.path.with_suffix(".html").write_text("x", encoding="utf-8")
    table.write(tmp_path / "out" / "results.html", table.grids([one], resamples=0))
    text = (tmp_path / "out" / "results.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert f'href="../runs/{one.path.with_suffix(".html").name}"' in text
    assert "http" not in text
    assert "3 张图片，200 条文本" in text


def test_another_ending_is_refused(found: list[table.Grid], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not in '\.pdf'"):
        table.write(tmp_path / "a.pdf", found)


def test_models_of_one_name_have_one_label_in_all_tables(tmp_path: Path) -> None:
    for number, set_name in enumerate(("a", "b", "b")):
        run(tmp_path, "same", 0.5, set=set_name, options={"n": number} if number == 2 else {})
    found = runs.find([tmp_path])
    assert {grid.models[0] for grid in table.grids(found, resamples=0)} == {"same"}
    other = [replace(one, models=[{**one.models[0], "fingerprint": "zzz"}]) if one.set == "a" else one for one in found]
    labels = {grid.title.split()[0]: grid.models[0] for grid in table.grids(other, resamples=0)}
    assert labels == {"a": "same (zzz, float32)", "b": "same (fsame, float32)"}


def test_an_overview_stands_first_wherever_the_shared_model_is(tmp_path: Path) -> None:
    run(tmp_path, "alone", 0.5, set="a")
    for name in ("b", "c"):
        run(tmp_path, "shared", 0.5, set=name)
    found = table.with_overview(table.grids(runs.find([tmp_path]), resamples=0))
    assert found[0].title == "overview"
    assert len(found) == 4


def test_chance_is_nobodys_merit(tmp_path: Path) -> None:
    values: Table = {"id": ["0", "1"], "image": ["a", "b"], "pointing": np.array([1.0, 0.0]), "chance": np.ones(2) / 4}
    for name, less in (("one", 0.0), ("two", 0.1)):
        own: Table = {**values, "chance": np.asarray(values["chance"]) - less}
        made = {figure: Made("texts", figure) for figure in ("pointing", "chance")}
        what = Scored("ground", figures_of({"texts": own}, made), {"texts": own}, made)
        data = {"format": "x", "kind": "pairs", "path": "x", "fingerprint": "d", "counts": {"pictures": 2, "texts": 2}}
        about = {"name": name, "fingerprint": name, "dtype": "float32"}
        runs.write(tmp_path, runs.run_of(what, [about], data, "set", "", {}, 1.0, resamples=20), what.queries)
    (grid,) = table.grids(runs.find([tmp_path]), resamples=20)
    chances = [cells[grid.figures.index("chance")] for cells in grid.rows]
    assert not any(cell is None or cell.best or cell.worse for cell in chances)
