"""The bundled model keeps its promises on pictures that training never saw."""

from __future__ import annotations

from functools import cache

import pytest

import tuwen
from tuwen import hub
from tuwen.evaluate import distinct, on_scenes
from tuwen.scenes import caption, pair_split

MOST_BYTES = 12_000_000


@cache
def figures() -> dict[str, float]:
    return on_scenes(tuwen.load("demo"), "test", count=1000)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_bundled_model_names_85_of_100_things(language: str) -> None:
    assert figures()[f"thing_{language}"] >= 0.85


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_bundled_model_finds_80_of_100_scenes_among_1000(language: str) -> None:
    assert figures()[f"text_to_image_{language}"] >= 0.80


def test_the_bundled_model_is_small() -> None:
    folder = hub.bundled("demo")
    assert folder is not None
    assert (folder / "model.safetensors").stat().st_size <= MOST_BYTES


def test_scenes_to_retrieve_have_different_captions_and_unseen_pairs() -> None:
    scenes = distinct("test", 50)
    for language in ("zh", "en"):
        assert len({caption(scene, language) for scene in scenes}) == 50
    for scene in scenes:
        kinds = list(scene.groups)
        pairs = {pair_split(a, b) for a in kinds for b in kinds if a < b}
        assert not pairs or "test" in pairs
