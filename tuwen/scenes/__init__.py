"""The bundled pictures: 794 illustrated things, and scenes of them with exact captions in Chinese and English."""

from __future__ import annotations

from tuwen.scenes.labels import boxes, patch_labels, tags
from tuwen.scenes.pack import COUNT, Glyph, glyphs, sprite
from tuwen.scenes.questions import MultipleChoice, Question, choices, questions
from tuwen.scenes.render import pixels, render
from tuwen.scenes.scene import SPLITS, Scene, Thing, make, pair_split, portrait
from tuwen.scenes.words import LANGUAGES, STYLES, caption, captions, foils, foils_by_kind, names, vocabulary_texts

__all__ = [
    "COUNT",
    "LANGUAGES",
    "SPLITS",
    "STYLES",
    "Glyph",
    "MultipleChoice",
    "Question",
    "Scene",
    "Thing",
    "boxes",
    "caption",
    "captions",
    "choices",
    "foils",
    "foils_by_kind",
    "glyphs",
    "make",
    "names",
    "pair_split",
    "patch_labels",
    "pixels",
    "portrait",
    "questions",
    "render",
    "sprite",
    "tags",
    "vocabulary_texts",
]
