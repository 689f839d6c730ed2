"""A page per run: its figures, the queries that went worst and best with their pictures, and what was confused.

One HTML file with everything inside, in Chinese and English.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from PIL import Image, ImageDraw, ImageOps

from tuwen.checkpoint import replacing
from tuwen.errors import InputError
from tuwen.evaluate import chinese, confusion, examples, figures, sweep
from tuwen.evaluate.examples import Example, Hit, Part
from tuwen.evaluate.scored import Table
from tuwen.processing.decode import decode
from tuwen.search import page as searched

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.evaluate.runs import Run
    from tuwen.evaluate.table import Cell, Grid

SIDE = 220  # longest side, in pixels, of a picture in the page
RING = 7  # pixels from the middle to the rim of a point that is drawn
BOX, RIGHT, WRONG = "#1a7a50", "#1a7a50", "#b3402a"


def write_page(run: Run, queries: Mapping[str, Table], dataset: Dataset) -> Path:
    """The page of a run that lies in a folder, beside it: STEM.html."""
    path = run.path.with_suffix(".html")
    with replacing(path) as temporary:
        temporary.write_text(page(run, queries, dataset), encoding="utf-8")
    return path


def page(run: Run, queries: Mapping[str, Table], dataset: Dataset) -> str:
    """The HTML."""
    pictures = _Pictures(dataset)
    counts = run.data["counts"]
    size = f"{counts['pictures']:,}", f"{counts['texts']:,}"
    zh = f"{run.model} · {size[0]} 张图片，{size[1]} 条文本 · {run.seconds:.0f} 秒 · {run.finished[:10]}"
    en = f"{run.model} · {size[0]} pictures, {size[1]} texts · {run.seconds:.0f} s · {run.finished[:10]}"
    sections = [_figures(run), _notes(run)]
    if "depths" in queries:
        head = both("召回率与耗时", "Recall against time")
        sections.append(f"<section><h2>{head}</h2>{sweep.html(queries['depths'])}</section>")
    if run.task == "zeroshot" and "pictures" in queries:
        table = confusion.html(queries["pictures"])
        if table:
            head = both(
                "最易混淆的类别：行是正确类别，列是模型的判断",
                "Most confused classes: right ones down, the model's across",
            )
            sections.append(f"<section><h2>{head}</h2>{table}</section>")
    for part in examples.parts(run, queries, dataset):
        sections += _part(part, pictures)
    about, tasks = figures.of_set(run.set, run.split), figures.task(run.task)
    titles = [f"{about} · {task}" for task in tasks]
    options = f"<p>{escape(figures.of_options(run.options))}</p>" if run.options else ""
    head = f"<h1>{both(*map(escape, titles))}</h1><p>{both(escape(zh), escape(en))}</p>{options}"
    return frame(f"{about} · {' '.join(dict.fromkeys(tasks))}", head, "\n".join(sections), _footer(run))


def frame(title: str, head: str, main: str, footer: str) -> str:
    """A page of ours around its parts."""
    style = "".join(
        (folder / "page.css").read_text(encoding="utf-8") for folder in (searched.FOLDER, Path(__file__).parent)
    )
    script = (searched.FOLDER / "page.js").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="zh" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tuwen 图文 · {escape(title)}</title>
<style>
{style}</style>
<script>
{script}</script>
</head>
<body>
<header>
<div>{head}</div>
<nav>
<button type="button" onclick="turnLanguage()">{both("English", "中文")}</button>
<button type="button" onclick="turnTheme()">{both("明暗", "Light / dark")}</button>
</nav>
</header>
<main>
{main}
</main>
<footer>{footer}</footer>
</body>
</html>
"""


def both(zh: str, en: str) -> str:
    """HTML in two languages, of which the page shows one."""
    return f'<span class="zh" lang="zh">{zh}</span><span class="en" lang="en">{en}</span>'


# -- figures ----------------------------------------------------------------------------------------------------------


def _figures(run: Run) -> str:
    names = [name for name in figures.main_figures(run.task, run.figures) if "@" not in name]
    return f'<dl class="figures">{"".join(_figure(run, name) for name in names)}</dl>'


def _figure(run: Run, name: str) -> str:
    ends = run.intervals.get(name)
    half = f" <small>±{figures.written(name, (ends[1] - ends[0]) / 2)}</small>" if ends else ""
    known = (run.reference or {}).get("figures", {}).get(name)
    below = ""
    if run.reference is not None and known is not None:
        value = figures.written(name, known)
        change = figures.written(name, run.figures[name] - known, sign=True)
        delta = f" Δ {change}" if run.reference["comparable"] else ""
        below = f'<small class="published">{both("已发表", "published")} {value}{delta}</small>'
    value = figures.written(name, run.figures[name])
    title = both(escape(figures.chinese_title(name)), escape(figures.title(name)))
    return f"<div><dt>{title}</dt><dd>{value}{half}{below}</dd></div>"


def _notes(run: Run) -> str:
    said = [both(escape(chinese.note(note)), escape(note)) for note in run.notes]
    if run.failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in run.failures[:3])
        said.append(f"{both(f'{run.failed} 行不可用', f'{run.failed} rows could not be used')}: {escape(reasons)}")
    return f'<ul class="notes">{"".join(f"<li>{note}</li>" for note in said)}</ul>' if said else ""


def _footer(run: Run) -> str:
    versions = run.environment.get("versions", {})
    machine = f"tuwen {versions.get('tuwen')}, torch {versions.get('torch')}, {run.environment.get('processor')}"
    zh = "百分数；± 是自助抽样 95% 区间的一半（同一图片的查询一起抽取；在 0 和 100 处为 Wilson 区间）。"
    en = (
        "Per cent; ± is half of the 95 % interval of the bootstrap over queries, those about one picture together; at "
        "0 and 100 Wilson's."
    )
    return both(f"{zh}{escape(machine)}", f"{en} {escape(machine)}")


# -- examples ---------------------------------------------------------------------------------------------------------


def _part(part: Part, pictures: _Pictures) -> list[str]:
    sections = []
    for zh, en, some in (("最差", "worst", part.worst), ("最好", "best", part.best)):
        if not some:
            continue
        if any(one.hits for one in some):
            body = "\n".join(_query(one, pictures) for one in some)
        else:
            body = f'<ol class="cards">{"".join(_card(one, pictures) for one in some)}</ol>'
        head = both(f"{escape(part.zh)}：{zh}", f"{escape(part.en)}: {en}")
        sections.append(f"<section><h2>{head}</h2>\n{body}</section>")
    return sections


def _query(example: Example, pictures: _Pictures) -> str:
    """A query above what it found."""
    own = "".join(pictures.shown(image) for image in example.images)
    lines = " · ".join(f"{both(zh, en)} {escape(value)}" for zh, en, value in example.lines)
    text = f"<span>{escape(example.text)}</span>" if example.text else ""
    hits = "".join(_hit(hit, pictures) for hit in example.hits)
    return f'<h3>{own}{text}<small>{lines}</small></h3><ol class="small">{hits}</ol>'


def _hit(hit: Hit, pictures: _Pictures) -> str:
    shown = pictures.shown(hit.image) if hit.image else f'<p class="text">{escape(hit.text)}</p>'
    place = f"<b>{hit.rank}</b>" if hit.rank else both("应有", "wanted")
    score = "" if hit.score is None else f"<span>{hit.score:.3f}</span>"
    mark = '<span class="right">✓</span>' if hit.right else ""
    name = f'<p class="below"><span title="{escape(hit.image)}">{escape(hit.image)}</span></p>' if hit.image else ""
    wanted = ' class="wanted"' if hit.right else ""
    return f"<li{wanted}>{shown}<p>{place}{score}{mark}</p>{name}</li>"


def _card(example: Example, pictures: _Pictures) -> str:
    own = "".join(pictures.shown(image, example) for image in example.images)
    mark = '<span class="right">✓</span>' if example.good else '<span class="wrong">✗</span>'
    text = f"<p>{escape(example.text)}</p>" if example.text else ""
    lines = "".join(f"<p><b>{both(zh, en)}</b> {escape(value)}</p>" for zh, en, value in example.lines)
    return f'<li><div class="pictures">{own}</div>{text}{lines}<p>{mark}</p></li>'


class _Pictures:
    """Pictures of a dataset as tags that hold them, each made once."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.made: dict[str, str] = {}

    def shown(self, image_id: str, marks: Example | None = None) -> str:
        """marks: whose point and boxes are drawn into it."""
        if marks is not None and (marks.point or marks.boxes):
            return self._tag(image_id, marks)
        if image_id not in self.made:
            self.made[image_id] = self._tag(image_id)
        return self.made[image_id]

    def _tag(self, image_id: str, marks: Example | None = None) -> str:
        return f'<img src="{self._uri(image_id, marks)}" alt="{escape(image_id)}" loading="lazy">'

    def _uri(self, image_id: str, marks: Example | None) -> str:
        """One that cannot be read stays empty: that it could not is among the failures."""
        try:
            picture = decode(self.dataset.pictures[image_id])
            # Marks are in the pixels of the file, as models see it: they would not fit one that is turned upright.
            picture = (ImageOps.exif_transpose(picture) if marks is None else picture).convert("RGB")
        except (InputError, KeyError, OSError, ValueError):
            return "data:,"
        width = picture.width
        picture.thumbnail((SIDE, SIDE))
        if marks is not None:
            _draw(picture, marks, picture.width / width)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=82)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _draw(picture: Image.Image, marks: Example, scale: float) -> None:
    """Boxes in green, the point as a ring, both with a white rim that is seen on any picture."""
    draw = ImageDraw.Draw(picture)
    shapes: list[tuple[Callable[..., None], list[float], str]] = [
        (draw.rectangle, [edge * scale for edge in box], BOX) for box in marks.boxes
    ]
    if marks.point is not None:
        x, y = (place * scale for place in marks.point)
        shapes.append((draw.ellipse, [x - RING, y - RING, x + RING, y + RING], RIGHT if marks.good else WRONG))
    for shape, around, colour in shapes:
        shape(around, outline="white", width=4)
        left, top, right, low = around
        shape([left + 1, top + 1, max(left + 1, right - 1), max(top + 1, low - 1)], outline=colour, width=2)


# -- tables -----------------------------------------------------------------------------------------------------------


def tables_page(found: Sequence[Grid], folder: Path | None = None) -> str:
    """A page of tables, with a bar for the first figure of each model. folder: where it is to lie, for its links."""
    from tuwen.evaluate import table

    sections = []
    for grid in table.with_overview(found):
        links = [_link(run, folder) if not grid.heads else None for run in grid.runs]
        zh = "；".join(chinese.note(note) for note in grid.notes)
        notes = f'<p class="said"><small>{both(escape(zh), escape("; ".join(grid.notes)))}</small></p>'
        head = both(escape(grid.chinese_title), escape(grid.title))
        sections.append(f"<section><h2>{head}</h2>{_bars(grid)}{table.html_table(grid, links)}{notes}</section>")
    head = f"<h1>{both('评测结果', 'Results')}</h1>"
    legend = (
        "百分数（名次除外）；± 是 95% 自助区间（在 0 和 100 处为 Wilson 区间）的一半；粗体最好；"
        f"{table.MARK}：显著差于最好者，p &lt; {table.WORSE}"
    )
    en = table.LEGEND.replace("**Bold**", "Bold").replace("<", "&lt;")
    return frame("评测结果 results", head, "\n".join(sections), both(legend, en))


def _bars(grid: Grid) -> str:
    """A bar for each model: its first figure, in the overview each of them."""
    first = figures.first_figure(grid.task, grid.figures)
    columns = range(len(grid.figures)) if grid.heads else [grid.figures.index(first)] if first else []
    parts = []
    for column in columns:
        name = grid.figures[column]
        if not figures.is_rank(name):
            cells = [row[column] for row in grid.rows]
            rows = "".join(_bar(model, name, cell) for model, cell in zip(grid.models, cells, strict=True) if cell)
            of = both(escape(grid.chinese_titles()[column]), escape(grid.titles()[column]))
            parts.append(f'<span class="of">{of}</span>{rows}')
    return f'<div class="bars">{"".join(parts)}</div>'


def _bar(model: str, name: str, cell: Cell) -> str:
    width = f"{100 * cell.value:.1f}"
    bar = f'<span class="bar"><i style="width: {width}%"></i></span>'
    return f"<span>{escape(model)}</span>{bar}<span>{figures.written(name, cell.value)}</span>"


def _link(run: Run, folder: Path | None) -> str | None:
    """To the page of a run, where there is one."""
    target = run.path.with_suffix(".html")
    if folder is None or not run.tables or not target.is_file():
        return None
    return escape(quote(Path(os.path.relpath(target.resolve(), folder)).as_posix()))
