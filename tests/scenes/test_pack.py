"""The glyph pack: complete, named in two languages, and licensed."""

from __future__ import annotations

import numpy as np
import pytest

from tuwen.errors import UsageError
from tuwen.scenes.pack import COUNT, FOLDER, glyphs, outline, sprite


def test_the_pack_has_794_things_with_names_that_differ() -> None:
    assert len(glyphs()) == COUNT == 794
    assert len({glyph.zh for glyph in glyphs()}) == len({glyph.en for glyph in glyphs()}) == COUNT
    assert [glyph.index for glyph in glyphs()] == list(range(COUNT))


def test_every_thing_is_drawn() -> None:
    for index in range(COUNT):
        assert sprite(index).size == (96, 96)
        assert (np.asarray(sprite(index))[:, :, 3] > 128).mean() > 0.03, glyphs()[index].en
        assert len(outline(index)) >= 3


def test_a_number_outside_the_pack_is_refused() -> None:
    with pytest.raises(UsageError, match="0 to 793"):
        sprite(-1)


def test_the_licences_lie_beside_the_pictures() -> None:
    assert "SIL" in (FOLDER / "LICENSE.noto-emoji.txt").read_text(encoding="utf-8").upper()
    assert "UNICODE" in (FOLDER / "LICENSE.unicode-cldr.txt").read_text(encoding="utf-8").upper()
