"""`tuwen demo`: the first minute, from pictures to answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.ready import described, ready, recipe_of

if TYPE_CHECKING:
    from tqdm import tqdm

    from tuwen.model import Model
    from tuwen.scenes.scene import Scene
    from tuwen.search.gallery import Answer

SIDE = 384  # pixels of the pictures
SHOWN = 6  # hits per query


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write / 输出文件夹")] = Path("demo_out"),
    model: options.Model = "demo",
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Index the bundled pictures, answer Chinese queries, write a contact sheet / 索引自带图片并回答五个中文查询"""
    loaded = ready(model, device)
    loaded.need("search")
    from tuwen.cli.showcase import gallery

    scenes = gallery()
    console.header("demo", described(model, loaded), console.amount(len(scenes), "picture"), quiet=quiet)
    with console.bar(2 * len(scenes), " steps", quiet) as bar:
        bar.set_description("draw / 绘制")
        _draw(scenes, output / "pictures", bar)
        bar.set_description("embed / 嵌入")
        _index(loaded, model, output, bar)
    answers = _answers(loaded, scenes, output / "index")
    _write(answers, output, model, len(scenes))
    if as_json:
        console.result([asdict(answer) for answer in answers])
    else:
        _show(answers)
    console.note(f"contact sheet / 缩略图表: {output / 'sheet.png'} · page / 网页: {output / 'index.html'}", quiet)
    console.note(f'go on / 继续: tuwen search {output / "index"} "草地上的一只狗"', quiet)


def _draw(scenes: Sequence[Scene], folder: Path, bar: tqdm[Any]) -> None:
    """Draw what is not there yet; a picture is the same every time."""
    from tuwen.checkpoint import replacing
    from tuwen.scenes.render import render

    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        path = folder / _name(number)
        if not path.exists():
            with replacing(path) as temporary:
                render(scene, SIDE).save(temporary, "WEBP", quality=90, method=2)
        bar.update(1)


def _name(number: int) -> str:
    return f"{number:03d}.webp"


def _index(model: Model, name: str, output: Path, bar: tqdm[Any]) -> None:
    """What `tuwen embed` does, always anew."""
    from tuwen.data.folder import find
    from tuwen.tasks import embed

    planned = embed.plan(model, find(output / "pictures"), output / "index", "image", overwrite=True)
    describe = {
        "model": recipe_of(name, "float32", None, None),
        "input": str((output / "pictures").resolve()),
        "preprocessing": model.processor.image.to_dict(),
    }

    def report(done: int, failed: int) -> None:
        bar.update(done)

    embed.run(model, planned, describe, on_error="fail", report=report)


def _answers(model: Model, scenes: Sequence[Scene], index: Path) -> list[Answer]:
    """Every query over all pictures; what the scenes hold says which hits are right."""
    from tuwen.cli.showcase import questions
    from tuwen.data.embedded import open_embedded
    from tuwen.search.gallery import Answer, nearest

    features = model.encode_text([question.text for question in questions()])
    by_name = {_name(number): scene for number, scene in enumerate(scenes)}
    answers = []
    for question, hits in zip(questions(), nearest(open_embedded(index), features, len(scenes)), strict=True):
        judged = [replace(hit, right=question.fits(by_name[hit.id])) for hit in hits]
        right = tuple(hit.rank for hit in judged if hit.right)
        answers.append(Answer(question.text, judged[:SHOWN], right=right))
    return answers


def _write(answers: list[Answer], output: Path, name: str, count: int) -> None:
    from tuwen.search.page import write_page
    from tuwen.search.sheet import write_sheet

    name = Path(name).name
    zh = f"用模型 {name} 在 {count} 张训练中没有的自带图片中精确检索"
    en = f"Exact search with the model {name} over {count} bundled pictures that are in no training"
    write_sheet(output / "sheet.png", answers, "tuwen 图文 · 五个中文查询", zh)
    write_page(output / "index.html", answers, zh, en)


def _show(answers: list[Answer]) -> None:
    from tuwen.search.sheet import ranks

    columns = ["query / 查询", "right at rank / 相符名次", *(f"#{rank}" for rank in range(1, SHOWN + 1))]
    rows = [
        [
            answer.query,
            ranks(answer.right or ()),
            *(f"{hit.score:.3f} {'✓' if hit.right else ' '}" for hit in answer.hits),
        ]
        for answer in answers
    ]
    console.table(columns, rows)
