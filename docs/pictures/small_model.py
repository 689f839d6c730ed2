"""Train the small fusion model that drew the pictures of these pages: `python docs/pictures/small_model.py FOLDER`.

Its picture tower is that of the bundled model and stays as it is; a small DeBERTa, the fusion and the heads begin from
random numbers and see scenes of 12 things. It takes about half an hour on one core and is of no use for anything else.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import tuwen
from tuwen import scenes
from tuwen.loading import new
from tuwen.models.vle import VLE, Config
from tuwen.nn.deberta import DebertaConfig
from tuwen.nn.fusion import FusionConfig
from tuwen.scenes import nouns
from tuwen.scenes.scene import turned_box
from tuwen.types import Images

log = logging.getLogger(__name__)

THINGS = (
    "dog", "cat", "panda", "rabbit", "bird", "elephant",
    "red apple", "banana", "automobile", "house", "rocket", "guitar",
)  # fmt: skip
SIDE = 96  # pixels of a picture
GRID = 8  # patches along it
TRAINED, TESTED = 4000, 400  # scenes
BATCH, STEPS, RATE = 24, 1600, 1e-3
NOTHING = -100  # of no class


@cache
def numbers() -> tuple[int, ...]:
    """The glyphs of THINGS."""
    by_name = {glyph.name("en"): number for number, glyph in enumerate(scenes.glyphs())}
    return tuple(by_name[name] for name in THINGS)


def scene_of(index: int, split: str = "train", seed: int = 5) -> scenes.Scene:
    """A scene of one to four of the 12 things."""
    draw = Random(f"{split} {seed} {index}")
    scene = scenes.make(seed, index, split, draw.choice((1, 2, 2, 2, 3, 3, 4)))
    others = dict(zip(scene.groups, draw.sample(numbers(), len(scene.groups)), strict=True))
    things = [
        replace(thing, glyph=glyph, box=turned_box(glyph, thing.x, thing.y, thing.size, thing.angle))
        for thing in scene.things
        for glyph in [others[thing.glyph]]
    ]
    return replace(scene, things=tuple(things))


@dataclass(frozen=True)
class Row:
    """A picture with a text, and what is right: of a match, an answer, or each patch."""

    picture: int
    text: str
    match: int = NOTHING
    answer: int = NOTHING
    patches: Tensor | None = None


def rows_of(picture: int, scene: scenes.Scene, answers: dict[str, int], draw: Random) -> list[Row]:
    """A description that may be false in one point, two things to find, and a question."""
    language = draw.choice(scenes.LANGUAGES)
    true = draw.random() < 0.5
    told = scene if true else changed(scene, draw)
    rows = [Row(picture, draw.choice(scenes.captions(told, language)), match=int(true))]
    if rows[0].text in scenes.captions(scene, language):
        rows[0] = replace(rows[0], match=1)
    for glyph in (draw.choice(list(scene.groups)), draw.choice(numbers())):
        found = torch.from_numpy(scenes.patch_labels(scene, GRID, GRID) == glyph).long().flatten()
        rows.append(Row(picture, thing_text(glyph, language, draw), patches=found))
    asked = [question for question in scenes.questions(scene, language) if question.answer in answers]
    if asked:
        question = draw.choice(asked)
        rows.append(Row(picture, question.text, answer=answers[question.answer]))
    return rows


def changed(scene: scenes.Scene, draw: Random) -> scenes.Scene:
    """Another scene: one kind of thing is another one, one thing is gone, or the picture is mirrored."""
    kind = draw.choice(("thing", "thing", "number", "place"))
    if kind == "number" and len(scene.things) > 1:
        gone = draw.choice(scene.things)
        return replace(scene, things=tuple(thing for thing in scene.things if thing is not gone))
    if kind == "place" and len(scene.groups) > 1:
        turned = [
            replace(thing, x=1 - thing.x, y=1 - thing.y, box=(1 - right, 1 - bottom, 1 - left, 1 - top))
            for thing in scene.things
            for left, top, right, bottom in [thing.box]
        ]
        return replace(scene, things=tuple(turned))
    old = draw.choice(list(scene.groups))
    new_one = draw.choice([number for number in numbers() if number not in scene.groups])
    return replace(
        scene,
        things=tuple(replace(thing, glyph=new_one) if thing.glyph == old else thing for thing in scene.things),
    )


def thing_text(glyph: int, language: str, draw: Random) -> str:
    """狗, 一只狗; dog, a dog."""
    name = scenes.glyphs()[glyph].name(language)
    counted = nouns.chinese(glyph, 1) if language == "zh" else nouns.english(glyph, 1)
    return draw.choice((name, counted))


def known_answers() -> tuple[str, ...]:
    """What the questions about the first scenes are answered by."""
    found = {
        question.answer
        for index in range(1500)
        for language in scenes.LANGUAGES
        for question in scenes.questions(scene_of(index), language)
    }
    return tuple(sorted(found))


def fresh(answers: tuple[str, ...]) -> tuwen.model.Model:
    """The untrained model behind the bundled model's picture tower and tokenizer."""
    demo = tuwen.load("demo")
    words = demo.processor.tokenizer.vocabulary_size
    config = Config(
        demo.module.config.image,  # type: ignore[union-attr, arg-type]
        DebertaConfig(words, 192, 2, 4, 384, buckets=32, max_distance=64, dropout=0.0, attention_dropout=0.0),
        FusionConfig(128, 2, 4, 256, dropout=0.0, attention_dropout=0.0),
        {"match": (2,), "ground": (128, 2), "answer": (256, len(answers))},
        answers=answers,
    )
    torch.manual_seed(1)
    model = new("vle", config, demo.processor, ("zh", "en"), "cpu")
    module, bundled = vle(model), demo.module
    module.image.load_state_dict(bundled.image.state_dict())  # type: ignore[union-attr]
    table = bundled.text.embeddings.words.weight  # type: ignore[union-attr]
    with torch.no_grad():
        module.text.embeddings.words.weight.copy_(table)
    return model


def vle(model: tuwen.model.Model) -> VLE:
    assert isinstance(model.module, VLE)
    return model.module


@torch.no_grad()
def seen(model: tuwen.model.Model, pictures: list[scenes.Scene]) -> Tensor:
    """What the picture tower, which is not trained, makes of scenes: (S, N, width) float16."""
    module, parts = vle(model), []
    for start in range(0, len(pictures), 32):
        pixels = torch.stack([torch.from_numpy(scenes.pixels(scene, SIDE)) for scene in pictures[start : start + 32]])
        states = module.image.states(Images(model.processor.image.normalise(pixels)).pixels)[-1]
        parts.append(module.image.norm_out(states).half())
    return torch.cat(parts)


class Trainer:
    """The model, the scenes, and what the picture tower makes of them."""

    def __init__(self) -> None:
        answers = known_answers()
        self.answers = {text: number for number, text in enumerate(answers)}
        self.model = fresh(answers)
        self.module = vle(self.model)
        self.scenes = [scene_of(index) for index in range(TRAINED)]
        self.states = seen(self.model, self.scenes)

    def run(self) -> None:
        trained = [parameter for name, parameter in self.module.named_parameters() if not name.startswith("image.")]
        optimizer = torch.optim.AdamW(trained, RATE, betas=(0.9, 0.98), weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        self.module.train()
        for step in range(STEPS):
            with torch.autocast("cpu", torch.bfloat16):
                losses = self.losses(self.batch(step), self.states)
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            if step % 50 == 49:
                log.info("step %d: %s", step + 1, {name: round(loss.item(), 3) for name, loss in losses.items()})
            if step % 400 == 399:
                self.evaluate()
        self.module.eval()

    def batch(self, step: int) -> list[Row]:
        draw = Random(f"batch {step}")
        chosen = draw.sample(range(TRAINED), BATCH)
        return [row for picture in chosen for row in rows_of(picture, self.scenes[picture], self.answers, draw)]

    def losses(self, rows: list[Row], states: Tensor) -> dict[str, Tensor]:
        """The mean loss of each task."""
        image, pooled = self.fused(rows, states)
        heads = self.module.heads
        return {
            "match": classified(heads["match"](pooled), [row.match for row in rows]),
            "answer": classified(heads["answer"](pooled), [row.answer for row in rows]),
            "ground": self.ground_loss(rows, image),
        }

    def ground_loss(self, rows: list[Row], image: Tensor) -> Tensor:
        places = [place for place, row in enumerate(rows) if row.patches is not None]
        wanted = torch.stack([row.patches for row in rows if row.patches is not None])  # (R, P)
        logits = self.module.heads["ground"](image[places, 1:])  # (R, P, 2)
        return 4 * F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), torch.tensor([1.0, 2.0]))

    def fused(self, rows: list[Row], states: Tensor) -> tuple[Tensor, Tensor]:
        """Texts with their pictures, whose states are (S, N, width) -> (B, N, D) of the pictures, and (B, 2 * D)."""
        module = self.module
        texts = self.model.processor.texts([row.text for row in rows])
        once, places = torch.tensor([row.picture for row in rows]).unique(return_inverse=True)
        levels = (module.image_projection(states[once].float()) + module.types.weight[1]).unsqueeze(-2)
        side = module.fusion.text_side(module.text_levels(texts), texts.mask)
        fused = module.fusion(module.fusion.image_side(levels)[places], side)
        assert fused.image is not None and fused.pooled is not None
        return fused.image, fused.pooled

    @torch.no_grad()
    def evaluate(self) -> None:
        """Say how often it is right about scenes of the test split."""
        self.module.eval()
        tested = [scene_of(index, "test") for index in range(TESTED)]
        states = seen(self.model, tested)
        draw = Random("test")
        rows = [row for place, scene in enumerate(tested) for row in rows_of(place, scene, self.answers, draw)]
        right: dict[str, list[float]] = {"match": [], "answer": [], "ground, overlap": []}
        for part in parts(rows, 128):
            image, pooled = self.fused(part, states)
            best = {name: self.module.heads[name](pooled).argmax(-1).tolist() for name in ("match", "answer")}
            patches = self.module.heads["ground"](image[:, 1:]).argmax(-1)
            for place, row in enumerate(part):
                if row.match != NOTHING:
                    right["match"].append(best["match"][place] == row.match)
                if row.answer != NOTHING:
                    right["answer"].append(best["answer"][place] == row.answer)
                if row.patches is not None and row.patches.any() and len(tested[row.picture].groups) > 1:
                    both = (patches[place] & row.patches).sum() / (patches[place] | row.patches).sum()
                    right["ground, overlap"].append(float(both))
        log.info("right: %s", {name: f"{sum(found) / len(found):.1%} of {len(found)}" for name, found in right.items()})
        self.module.train()


def classified(logits: Tensor, wanted: list[int]) -> Tensor:
    return F.cross_entropy(logits.float(), torch.tensor(wanted), ignore_index=NOTHING)


def share(step: int) -> float:
    """Of the learning rate: a linear start, then half a cosine."""
    start = STEPS // 20
    return (step + 1) / start if step < start else 0.5 + 0.5 * math.cos(math.pi * (step - start) / (STEPS - start))


def parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    trainer = Trainer()
    trainer.run()
    trainer.model.save(sys.argv[1])
