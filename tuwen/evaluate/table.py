"""Tables of runs: models down, figures across, the best in bold, and marks where others are surely worse."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from tuwen.checkpoint import replacing
from tuwen.errors import InputError, UsageError
from tuwen.evaluate import figures as named
from tuwen.evaluate import runs
from tuwen.evaluate.bootstrap import Difference
from tuwen.evaluate.runs import Run
from tuwen.evaluate.scored import Table

WORSE = 0.05  # a difference to the best with a smaller p is marked
MARK = "†"
FORMATS = (".md", ".tex", ".csv", ".html")
LEGEND = (
    f"Per cent, but for ranks; ± is half of the 95 % interval of the bootstrap over queries, those about one picture "
    f"together; at 0 and 100 Wilson's. **Bold**: the best. {MARK}: worse than the best, p < {WORSE} (paired bootstrap, "
    "each figure by itself)."
)


@dataclass(frozen=True)
class Cell:
    """One figure of one model. half: of its interval; against: what separates it from the best, None of the best
    itself and where the two cannot be compared query by query."""

    value: float
    low: float | None = None
    high: float | None = None
    best: bool = False
    against: Difference | None = None

    @property
    def half(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def worse(self) -> bool:
        return self.against is not None and self.against.p < WORSE


@dataclass(frozen=True)
class Grid:
    """Runs of one task on one set: figures across, a row of cells for each model, None where it has no such figure.

    about: set and split; options: what else tells it from others, in words; runs: of each row; heads: of the columns in
    Chinese and English, where these are not the titles of the figures, as in the overview.
    """

    about: str
    task: str
    options: str
    figures: list[str]
    models: list[str]
    rows: list[list[Cell | None]]
    runs: list[Run]
    notes: list[str] = field(default_factory=list)
    heads: list[tuple[str, str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Above the table."""
        return "overview" if self.heads else self._named(named.task(self.task)[1])

    @property
    def chinese_title(self) -> str:
        """The same in Chinese."""
        return "总览" if self.heads else self._named(named.task(self.task)[0])

    def _named(self, task: str) -> str:
        return f"{self.about} · {task}" + (f" ({self.options})" if self.options else "")

    def titles(self) -> list[str]:
        """The headings of the columns."""
        return [en for _, en in self.heads] or [named.title(name) for name in self.figures]

    def chinese_titles(self) -> list[str]:
        """The same in Chinese."""
        return [zh for zh, _ in self.heads] or [named.chinese_title(name) for name in self.figures]


def grids(found: Iterable[Run], every: bool = False, resamples: int = 1000, seed: int = 0) -> list[Grid]:
    """A grid for each task, set and choice of options, in the order of their titles; models by their first figure.

    every: all figures, not only those that stand for the task. Of a model with several runs on the same data the last
    counts. resamples: of the paired bootstrap, 0 for none.
    """
    groups: dict[tuple[str, str, str, str], dict[str, Run]] = {}
    all_of_them = list(found)
    names = dict(zip((run.identity for run in all_of_them), runs.labels(all_of_them), strict=True))
    for run in all_of_them:
        told = named.of_options(run.options)
        of_one = (named.of_set(run.set, run.split), run.task, told, run.data["fingerprint"])
        same = groups.setdefault(of_one, {})
        if run.identity not in same or same[run.identity].finished <= run.finished:
            same[run.identity] = run
    named_alike = Counter(key[:3] for key in groups)
    found_grids = []
    for key, same in sorted(groups.items()):
        about, task, told, data = key
        if named_alike[key[:3]] > 1:
            told = ", ".join(filter(None, (told, f"data {data[:6]}")))
        found_grids.append(_grid((about, task, told), list(same.values()), names, every, resamples, seed))
    return found_grids


def _grid(
    key: Sequence[str], group: list[Run], labels: Mapping[str, str], every: bool, resamples: int, seed: int
) -> Grid:
    task = key[1]
    names = list(dict.fromkeys(name for run in group for name in run.figures))
    names = names if every else named.main_figures(task, names)
    first = named.first_figure(task, names) or ""
    worst = float("inf") if named.is_rank(first) else float("-inf")
    group.sort(key=lambda run: run.figures.get(first, worst), reverse=not named.is_rank(first))
    best = {name: _best(name, group) if len(group) > 1 and named.is_merit(name) else None for name in names}
    notes: list[str] = []
    against = _against(group, best, resamples, seed, notes)
    rows = [
        [_cell(run, name, _as_good(run, name, best[name]), against.get((id(run), name))) for name in names]
        for run in group
    ]
    counts = group[0].data["counts"]
    notes.insert(0, f"{counts['pictures']:,} pictures, {counts['texts']:,} texts")
    return Grid(key[0], task, key[2], names, [labels[run.identity] for run in group], rows, group, notes)


def _best(name: str, group: Sequence[Run]) -> Run | None:
    best: Run | None = None
    for run in group:
        if name in run.figures and (best is None or named.better(name, run.figures[name], best.figures[name])):
            best = run
    return best


def _as_good(run: Run, name: str, best: Run | None) -> bool:
    """Whether a run is the best, or one of several."""
    if best is None or name not in run.figures:
        return False
    return run is best or math.isclose(run.figures[name], best.figures[name], rel_tol=1e-9)


def _cell(run: Run, name: str, best: bool, against: Difference | None) -> Cell | None:
    if name not in run.figures:
        return None
    low, high = run.intervals.get(name, (None, None))
    return Cell(run.figures[name], low, high, best, against)


def _against(
    group: Sequence[Run], best: dict[str, Run | None], resamples: int, seed: int, notes: list[str]
) -> dict[tuple[int, str], Difference]:
    """(run, figure) -> the difference to the best run, for all others that answered the same queries."""
    found: dict[tuple[int, str], Difference] = {}
    if not resamples:
        return found
    tables: dict[int, dict[str, Table]] = {}
    for run in group:
        for leader in {id(one): one for one in best.values() if one is not None and one is not run}.values():
            wanted = [name for name, one in best.items() if one is leader and name in run.made]
            if not wanted:
                continue
            try:
                all_of_them = runs.compare(run, leader, resamples, seed, tables)
            except InputError as error:
                notes.append(f"{run.model} and {leader.model} are not compared: {error}")
                continue
            found |= {(id(run), name): all_of_them[name] for name in wanted if name in all_of_them}
    return found


def with_overview(found: Sequence[Grid]) -> list[Grid]:
    """The same after a grid of one column for each, its first figure, where models are on several sets."""
    shown = [model for grid in found for model in grid.models]
    if len(shown) == len(set(shown)):
        return list(found)
    names = [named.first_figure(grid.task, grid.figures) or "" for grid in found]
    models = list(dict.fromkeys(model for grid in found for model in grid.models))
    rows = [[_of(grid, model, name) for grid, name in zip(found, names, strict=True)] for model in models]
    runs_of = [next(grid.runs[grid.models.index(model)] for grid in found if model in grid.models) for model in models]
    heads = list(zip(_heads(found, names, 0), _heads(found, names, 1), strict=True))
    return [Grid("", "", "", names, models, rows, runs_of, ["the first figure of each"], heads), *found]


def _heads(found: Sequence[Grid], names: Sequence[str], language: int) -> list[str]:
    """Set and figure of each, with the task and then the options where several would be called the same.

    language: 0 for Chinese, 1 for English.
    """
    title = (named.chinese_title, named.title)[language]
    heads = [f"{grid.about} {title(name)}" for grid, name in zip(found, names, strict=True)]
    for more in ([named.task(grid.task)[language] for grid in found], [grid.options for grid in found]):
        of: dict[str, set[str]] = {}
        for head, one in zip(heads, more, strict=True):
            of.setdefault(head, set()).add(one)
        heads = [
            f"{head} ({one})" if one and len(of[head]) > 1 else head for head, one in zip(heads, more, strict=True)
        ]
    return heads


def _of(grid: Grid, model: str, name: str) -> Cell | None:
    """The cell of a model and figure, where there is one."""
    if model not in grid.models or name not in grid.figures:
        return None
    return grid.rows[grid.models.index(model)][grid.figures.index(name)]


# -- as text ----------------------------------------------------------------------------------------------------------


def written(found: Sequence[Grid], ending: str) -> str:
    """All grids in one of FORMATS. UsageError for another ending."""
    if ending not in _WRITE:
        raise UsageError(f"a table ends in {', '.join(FORMATS)}, not in {ending!r}")
    return _WRITE[ending](found)


def write(path: Path, found: Sequence[Grid]) -> None:
    """The file of that ending, whole; links of .html lead to the runs' pages where these lie beside their runs."""
    text = html(found, path.resolve().parent) if path.suffix == ".html" else written(found, path.suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def plain(name: str, cell: Cell | None, bold: Callable[[str], str], mark: str = MARK, about: str = " ±") -> str:
    """A cell as people read it: 62.7 ±1.3†, the best through `bold`."""
    if cell is None:
        return "-"
    value = named.written(name, cell.value)
    value = bold(value) if cell.best else value
    if cell.half is not None:
        value += f"{about}{named.written(name, cell.half)}"
    return value + (mark if cell.worse else "")


def markdown(found: Sequence[Grid]) -> str:
    """Tables as GitHub and others show them."""
    parts = []
    for grid in with_overview(found):
        heads = ["model", *grid.titles()]
        lines = [f"### {grid.title}", "", _row(heads), _row(["---", *["---:"] * len(grid.figures)])]
        for model, cells in zip(grid.models, grid.rows, strict=True):
            values = [plain(name, cell, "**{}**".format) for name, cell in zip(grid.figures, cells, strict=True)]
            lines.append(_row([model.replace("|", "\\|"), *values]))
        parts.append("\n".join([*lines, "", f"{'; '.join(grid.notes)}."]))
    return "\n\n".join([*parts, LEGEND]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


_TEX = str.maketrans(
    {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "→": r"$\rightarrow$", "·": r"$\cdot$"}
)


def latex(found: Sequence[Grid]) -> str:
    """Tables for a paper; they need \\usepackage{booktabs}."""
    parts = ["% needs \\usepackage{booktabs}"]
    for grid in with_overview(found):
        heads = " & ".join(title.translate(_TEX) for title in ["model", *grid.titles()])
        lines = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'r' * len(grid.figures)}}}", r"\toprule"]
        lines += [heads + r" \\", r"\midrule"]
        for model, cells in zip(grid.models, grid.rows, strict=True):
            values = [
                plain(name, cell, r"\textbf{{{}}}".format, r"$^\dagger$", r"\,$\pm$\,")
                for name, cell in zip(grid.figures, cells, strict=True)
            ]
            lines.append(" & ".join([model.translate(_TEX), *values]) + r" \\")
        said = f"{grid.title}: {'; '.join(grid.notes)}. "
        legend = LEGEND.replace("**", "").translate(_TEX).replace("±", r"$\pm$").replace(MARK, r"$\dagger$")
        caption = said.translate(_TEX) + legend.replace("p <", "$p <$")
        lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{caption}}}", r"\end{table}"]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


COLUMNS = (
    "set split task options model figure value low high best difference p published pictures texts seconds finished"
)


def table(found: Sequence[Grid]) -> str:
    """CSV, a line for each figure of each model, every digit; difference and p are those to the best."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS.split())
    for grid in found:
        for label, run, cells in zip(grid.models, grid.runs, grid.rows, strict=True):
            counts = run.data["counts"]
            options = " ".join(f"{name}={value}" for name, value in run.options.items())
            published = (run.reference or {}).get("figures", {})
            for name, cell in zip(grid.figures, cells, strict=True):
                if cell is None:
                    continue
                against = (cell.against.value, cell.against.p) if cell.against else ("", "")
                head = (run.set, run.split, run.task, options, label, name, cell.value, cell.low, cell.high)
                tail = (published.get(name), counts["pictures"], counts["texts"], run.seconds, run.finished)
                rows.writerow([*head, int(cell.best), *against, *tail])
    return file.getvalue()


def html(found: Sequence[Grid], folder: Path | None = None) -> str:
    """A page that stands alone. folder: where it is to lie, for links to the pages of the runs."""
    from tuwen.evaluate import page

    return page.tables_page(found, folder)


def html_table(grid: Grid, links: Sequence[str | None]) -> str:
    """One grid. links: of the model in each row."""
    from tuwen.evaluate.page import both

    titles = zip(grid.chinese_titles(), grid.titles(), strict=True)
    heads = "".join(f"<th>{both(escape(zh), escape(en))}</th>" for zh, en in titles)
    rows = []
    for model, cells, link in zip(grid.models, grid.rows, links, strict=True):
        name = f'<a href="{link}">{escape(model)}</a>' if link else escape(model)
        values = "".join(
            f"<td>{plain(figure, cell, '<b>{}</b>'.format, f'<sup>{MARK}</sup>', ' <small>±')}"
            f"{'</small>' if cell and cell.half is not None else ''}</td>"
            for figure, cell in zip(grid.figures, cells, strict=True)
        )
        rows.append(f"<tr><th>{name}</th>{values}</tr>")
    inside = f'<table class="across-models"><tr><th></th>{heads}</tr>{"".join(rows)}</table>'
    return f'<div class="wide" tabindex="0">{inside}</div>'


_WRITE: dict[str, Callable[[Sequence[Grid]], str]] = {".md": markdown, ".tex": latex, ".csv": table, ".html": html}
