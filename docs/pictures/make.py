"""Draw the pictures of these pages: `python docs/pictures/make.py FOLDER`, with what small_model.py wrote to FOLDER.

Search, reranking, questions and grounding go the ways of `tuwen search --rerank`, `tuwen vqa` and `tuwen ground`; only
the model is a small one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw
from small_model import THINGS, numbers, scene_of

import tuwen
from tuwen import scenes
from tuwen.model import Model
from tuwen.search.answer_sheet import Asked, Questioned, draw_answers
from tuwen.search.exact import top_k
from tuwen.search.font import font
from tuwen.search.gallery import Answer, Hit
from tuwen.search.rerank import rerank
from tuwen.search.sheet import INK, MARGIN, PALE, PAPER, corners, draw_before_after

HERE = Path(__file__).parent
ABOUT = (
    "小模型，只在 12 种东西的画面上训练过，仅示意形式 · a small model trained on scenes of 12 things: it shows the form"
)
COLLECTION, DEPTH, SHOWN = 400, 40, 6
SIDE = 300

Fits = Callable[[scenes.Scene], bool]


def glyph(name: str) -> int:
    return dict(zip(THINGS, numbers(), strict=True))[name]


def count(scene: scenes.Scene, name: str) -> int:
    return len(scene.groups.get(glyph(name), ()))


# What is looked for, and what fits it.
QUERIES: dict[str, Fits] = {
    "两只兔子": lambda scene: count(scene, "rabbit") == 2,
    "a dog and a guitar": lambda scene: count(scene, "dog") > 0 and count(scene, "guitar") > 0,
}
# What is asked about which scene, by their numbers among its questions, Chinese and English.
QUESTIONS = {1: ((0, 3), (6, 9)), 14: ((5, 9), (1, 8)), 17: ((2, 10), (7, 9))}
GROUNDED, THERE, ABSENT = 15, "elephant", "guitar"


def main(model: Model) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save("ground", ground_picture(model))
        save("answers", answer_picture(model, Path(folder)))
        save("rerank", rerank_picture(model, Path(folder)))


def save(name: str, picture: Image.Image) -> None:
    picture.save(HERE / f"{name}.webp", "WEBP", quality=86, method=6)


# -- where is it? -----------------------------------------------------------------------------------------------------


def ground_picture(model: Model) -> Image.Image:
    """A scene, and what is found in it: for a thing that is there, and for one that is not."""
    scene = scene_of(GROUNDED, "test")
    picture = scenes.render(scene, 2 * SIDE)
    (zh, en), (other_zh, other_en) = (
        [scenes.glyphs()[glyph(name)].name(language) for language in scenes.LANGUAGES] for name in (THERE, ABSENT)
    )
    found, nothing = model.ground(picture, zh), model.ground(picture, other_zh)
    tiles = [
        (picture, "图片 picture"),
        (found.overlay(), f"overlay：{zh} {en}"),
        (found.heat(), f"heat：{zh} {en}"),
        (nothing.heat(), f"heat：{other_zh} {other_en}"),
    ]
    step = SIDE + 18
    sheet = Image.new("RGB", (2 * MARGIN + len(tiles) * step - 18, SIDE + 126), PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, (tile, label) in enumerate(tiles):
        left = MARGIN + place * step
        sheet.paste(tile.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, 28), corners(SIDE, SIDE, 10))
        pen.text((left, 28 + SIDE + 26), label, INK, font(19), anchor="lm")
    pen.text((MARGIN, 28 + SIDE + 64), ABOUT, PALE, font(16), anchor="lm")
    return sheet


# -- questions --------------------------------------------------------------------------------------------------------


def answer_picture(model: Model, folder: Path) -> Image.Image:
    """Some scenes, each with questions in both languages."""
    return draw_answers([questioned(model, folder, index) for index in QUESTIONS], "tuwen 图文 · 就图片提问", ABOUT)


def questioned(model: Model, folder: Path, index: int) -> Questioned:
    scene = scene_of(index, "test")
    path = draw(folder, scene)
    chosen = [
        scenes.questions(scene, language)[place]
        for language, places in zip(scenes.LANGUAGES, QUESTIONS[index], strict=True)
        for place in places
    ]
    found = model.answer(path, [question.text for question in chosen], top_k=4)
    asked = [Asked(question.text, answers, question.answer) for question, answers in zip(chosen, found, strict=True)]
    return Questioned(path, asked)


def draw(folder: Path, scene: scenes.Scene) -> str:
    path = folder / f"{scene.index:04d}.webp"
    if not path.exists():
        scenes.render(scene, 384).save(path, lossless=True)
    return str(path)


# -- reranking --------------------------------------------------------------------------------------------------------


def rerank_picture(model: Model, folder: Path) -> Image.Image:
    """What the bundled model finds for each query, and the small model's order of the first of it."""
    collection = [scene_of(index, "test") for index in range(COLLECTION)]
    paths = [draw(folder, scene) for scene in collection]
    demo = tuwen.load("demo", device="cpu")
    scores, rows = top_k(demo.encode_text(list(QUERIES)), demo.encode_image(paths), DEPTH)
    answers = []
    for query, values, row in zip(QUERIES, scores.tolist(), rows.tolist(), strict=True):
        fits = [QUERIES[query](scene) for scene in collection]
        hits = [
            Hit(rank, value, Path(paths[place]).name, paths[place], right=fits[place])
            for rank, (value, place) in enumerate(zip(values, row, strict=True), 1)
        ]
        answers.append(Answer(query, hits, right=tuple(hit.rank for hit in hits if hit.right)))
    return draw_before_after(rerank(model, answers, DEPTH), SHOWN, "tuwen 图文 · 重排前后", ABOUT)


if __name__ == "__main__":
    main(tuwen.load(sys.argv[1], device="cpu"))
