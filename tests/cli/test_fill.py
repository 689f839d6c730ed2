"""`tuwen fill`: the words that the model sees in a gap, and what goes wrong in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call, save_flat_picture
from tuwen.loading import load

CASES = Path(__file__).parents[1] / "golden" / "cases"
FUSING = CASES / "bridgetower" / "hf_all_heads" / "checkpoint"
ANSWERING = CASES / "vle" / "vqa_base" / "checkpoint"


def test_a_mask_is_filled_as_the_model_does(call: Call, pictures: Path) -> None:
    image = pictures / "01.png"
    result = call("fill", image, "a <mask> on the [MASK]", "-m", FUSING, "-k", 3, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    expected = load(FUSING).fill(image, "a <mask> on the <mask>", 3)
    assert [[word["text"] for word in words] for words in found["masks"]] == [
        [word.text for word in words] for words in expected
    ]
    chances = [word["probability"] for words in found["masks"] for word in words]
    assert chances == pytest.approx([word.probability for words in expected for word in words], abs=2e-6)
    assert (found["image"], found["text"]) == (str(image), "a <mask> on the [MASK]")


def test_one_mask_is_a_ranking_and_several_are_numbered(call: Call, pictures: Path) -> None:
    one = call("fill", pictures / "01.png", "a <mask>", "-m", FUSING, "-k", 4).stdout.splitlines()
    assert one[0].split() == ["rank", "word", "probability"]
    assert len(one) == 6
    two = call("fill", pictures / "01.png", "<mask> <mask>", "-m", FUSING, "-k", 4).stdout.splitlines()
    assert two[0].split() == ["mask", "rank", "word", "probability"]
    assert [line.split()[0] for line in two[2:]] == ["1"] * 4 + ["2"] * 4


def test_words_that_no_terminal_can_show_are_written_out(call: Call, pictures: Path) -> None:
    printed = call("fill", pictures / "01.png", "a <mask>", "-m", FUSING, "-k", 100_000).stdout
    assert all(line.isprintable() for line in printed.splitlines())
    assert "'\\x" in printed


@pytest.mark.parametrize(
    ("image", "text", "model", "code", "said"),
    [
        ("01.png", "a dog", FUSING, 2, "leaves nothing open: write <mask>"),
        ("01.png", " ", FUSING, 2, "the text is empty"),
        ("01.png", "two dogs " * 60 + "<mask>", FUSING, 4, "tokens, the model takes 38"),
        ("none.png", "a <mask>", FUSING, 4, "does not exist"),
        ("flat.png", "a <mask>", FUSING, 4, "flat.png"),
        ("01.png", "a <mask>", "demo", 2, "chinese-clip cannot fill"),
        ("01.png", "a <mask>", ANSWERING, 2, "cannot fill: its tasks are answer; these can: bridgetower"),
    ],
)
def test_what_cannot_be_filled_is_one_sentence(
    image: str, text: str, model: object, code: int, said: str, call: Call, pictures: Path
) -> None:
    save_flat_picture(pictures / "flat.png")
    result = call("fill", pictures / image, text, "-m", model, "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
