"""A page of search results: one HTML file with nothing outside it but the pictures, in Chinese and English."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from tuwen.checkpoint import replacing
from tuwen.data.inputs import is_inside
from tuwen.search.gallery import Answer, Hit
from tuwen.search.sheet import ranks, upright, verdict

FOLDER = Path(__file__).parent  # page.css and page.js lie beside this file
SIDE = 480  # longest side, in pixels, of a picture that is put into the page


def write_page(path: Path, answers: Sequence[Answer], subtitle_zh: str, subtitle_en: str) -> None:
    """Write the page; it links to the pictures where they are, by paths relative to its own.

    Pictures inside a table, which nothing can link to, are put into the page, with at most 480 pixels on a side.
    """
    with replacing(path) as temporary:
        temporary.write_text(page(path, answers, subtitle_zh, subtitle_en), encoding="utf-8")


def page(path: Path, answers: Sequence[Answer], subtitle_zh: str, subtitle_en: str) -> str:
    """The HTML of a page that is to lie at `path`."""
    folder = path.resolve().parent
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    sections = "\n".join(_section(folder, answer) for answer in answers)
    return f"""<!doctype html>
<html lang="zh" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tuwen 图文 · {escape(answers[0].query if len(answers) == 1 else "检索 search")}</title>
<style>
{style}</style>
<script>
{script}</script>
</head>
<body>
<header>
<div>
<h1>{_both("图文检索", "Picture search")}</h1>
<p>{_both(escape(subtitle_zh), escape(subtitle_en))}</p>
</div>
<nav>
<button type="button" onclick="turnLanguage()">{_both("English", "中文")}</button>
<button type="button" onclick="turnTheme()">{_both("明暗", "Light / dark")}</button>
</nav>
</header>
<main>
{sections}
</main>
<footer>{_footer(answers)}</footer>
</body>
</html>
"""


def _both(zh: str, en: str) -> str:
    """HTML in two languages, of which the page shows one."""
    return f'<span class="zh" lang="zh">{zh}</span><span class="en" lang="en">{en}</span>'


def _footer(answers: Sequence[Answer]) -> str:
    """What the numbers are."""
    zh, en = "分数是查询与结果特征的余弦", "Scores are cosines between the features of query and result"
    if any(answer.reranked for answer in answers):
        zh = "按匹配概率重排；箭头表示相对召回名次的升降，余弦是召回时的分数"
        en = "Reranked by the probability of a match; arrows compare with the recall, whose scores are the cosines"
    return _both(zh, en)


def _section(folder: Path, answer: Answer) -> str:
    picture = f'<img src="{_link(folder, answer.image)}" alt="">' if answer.image else ""
    query = f"<span>{escape(answer.query)}</span>" if answer.query else ""
    items = "\n".join(_item(folder, hit) for hit in answer.hits)
    return f"<section>\n<h2>{picture}{query}{_verdict(answer)}</h2>\n<ol>\n{items}\n</ol>\n</section>"


def _verdict(answer: Answer) -> str:
    if answer.right is None:
        return ""
    at = ranks(answer.right)
    return f"<small>{_both(verdict(answer), f'{len(answer.right)} right, at rank {at}')}</small>"


def _item(folder: Path, hit: Hit) -> str:
    mark = ""
    if hit.right:
        mark = f'<span class="right">✓<span hidden>{_both("相符", "right")}</span></span>'
    link, name = _link(folder, hit.path), escape(hit.id)
    if hit.text:
        shown = f'<p class="text">{escape(hit.text)}</p>'
    elif is_inside(hit.path):
        shown = f'<img src="{_small(hit.path)}" alt="{name}">'
    else:
        shown = f'<a href="{link}"><img src="{link}" alt="{name}" loading="lazy"></a>'
    numbers = f"<p><b>{hit.rank}</b>{_score(hit)}{mark}</p>"
    return f'<li>{shown}{numbers}<p class="below"><span title="{name}">{name}</span>{_cosine(hit)}</p></li>'


def _score(hit: Hit) -> str:
    """What the hits are ordered by: the cosine; of a reranked hit the probability, and before it how it moved."""
    if hit.recall_rank is None:
        return f"<span>{hit.score:.3f}</span>"
    up = ' class="up"' if hit.rank < hit.recall_rank else ""
    match = _both("未读出", "not read") if hit.match is None else f"{hit.match:.1%}"
    return f"<i{up}>{hit.moved}</i><span>{match}</span>"


def _cosine(hit: Hit) -> str:
    """Of a reranked hit, what it was found by."""
    return "" if hit.recall_rank is None else f"<small>{_both('余弦', 'cos')} {hit.score:.3f}</small>"


def _small(path: str) -> str:
    """A picture as a URI that holds it; of one that cannot be opened a URI that holds nothing."""
    picture = upright(path)
    if picture is None:
        return "data:,"
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _link(folder: Path, path: str) -> str:
    """From a page in this folder to a file."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        return escape(Path(path).as_uri())
    return escape(quote(Path(relative).as_posix()))
