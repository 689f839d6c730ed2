"""Every two-tower family through the same commands, from the file that was published to a page of search results."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call, save_pictures
from tests.models.published_towers import CONTAINERS, Given
from tuwen.data.embedded import open_embedded
from tuwen.loading import load

CASES = Path(__file__).parents[1] / "golden" / "cases"
JUDGE = CASES / "bridgetower" / "hf_all_heads" / "checkpoint"
CHINESE_CLIP = CASES / "chinese_clip" / "hf_bin" / "checkpoint"
KINDS = [
    "ernie-vil2, pdparams",
    "ernie-vil2, folder of PaddleNLP",
    "brivl, tar",
    "chinese-clip, folder",
]
TEXTS = ["红色的猫", "绿色草地", "一只猫", "a red cat"]
FORMATS = {
    "ernie-vil2, pdparams": ("ernie-vil2", "research"),
    "ernie-vil2, folder of PaddleNLP": ("ernie-vil2", "paddlenlp"),
    "chinese-clip, folder": ("chinese-clip", "transformers"),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def given(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("model")
    return CONTAINERS[kind](folder) if kind in CONTAINERS else Given(CHINESE_CLIP)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures with a text each, in a folder and in a table."""
    folder = tmp_path_factory.mktemp("pairs")
    lines = []
    for number, path in enumerate(sorted(save_pictures(folder / "pictures", 4).iterdir())):
        path.with_suffix(".txt").write_text(TEXTS[number], encoding="utf-8")
        code = base64.b64encode(path.read_bytes()).decode()
        lines.append(f"{TEXTS[number]}\tp{number}\t{code}\n")
    (folder / "pairs.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


def test_an_inspected_file_is_named_by_family_and_format(kind: str, given: Given, call: Call) -> None:
    result = call("inspect", given.path, *given.words, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["family"], found["format"]) == FORMATS.get(kind, ("brivl", "original"))
    assert found["usable"]
    assert found["tasks"] == ["embed", "search", "classify"]


@pytest.mark.parametrize("source", ["pictures", "pairs.tsv"])
def test_pictures_and_texts_are_embedded_as_the_python_calls_do_it(
    given: Given, call: Call, pairs: Path, tmp_path: Path, source: str
) -> None:
    result = call("embed", pairs / source, "-m", given.path, *given.words, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    embedded = open_embedded(tmp_path / "out")
    model = load(given.path, device="cpu", **given.options)
    assert embedded.images is not None
    assert embedded.texts is not None
    images = model.encode_image(sorted((pairs / "pictures").glob("*.png")))
    np.testing.assert_allclose(embedded.images.features, images, atol=1e-6)
    np.testing.assert_allclose(embedded.texts.features, model.encode_text(TEXTS), atol=1e-6)
    assert [row.image for row in embedded.texts.rows] == [row.id for row in embedded.images.rows]
    assert embedded.fingerprint == model.fingerprint


def test_a_table_is_searched_reranked_and_shown(given: Given, call: Call, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("embed", pairs / "pairs.tsv", "-m", given.path, *given.words, "-o", out).exit_code == 0
    words = ["search", out, "红色的猫", "-k", 3, "--html", tmp_path / "found.html", "--sheet", tmp_path / "found.png"]
    found = json.loads(call(*words, "--json").stdout)["hits"]
    model = load(given.path, device="cpu", **given.options)
    cosines = model.similarity(sorted((pairs / "pictures").glob("*.png")), "红色的猫").flatten()
    order = cosines.sort(descending=True, stable=True)
    assert [hit["id"] for hit in found] == [f"p{row}" for row in order.indices[:3].tolist()]
    assert [hit["score"] for hit in found] == pytest.approx(order.values[:3].tolist(), abs=1e-5)
    html = (tmp_path / "found.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<img src="data:image/jpeg;base64,[^"]{200,}"', html)) == 3
    with Image.open(tmp_path / "found.png") as sheet:
        cards = [sheet.crop((358 + 214 * card, 122, 358 + 214 * card + 196, 122 + 196)) for card in range(3)]
    assert all(np.asarray(card.convert("L")).std() > 20 for card in cards)  # pictures of noise, none is empty

    again = call(*words, "--rerank", JUDGE, "--json")
    assert again.exit_code == 0, again.stderr
    reranked = json.loads(again.stdout)
    chances = load(JUDGE, device="cpu").match(sorted((pairs / "pictures").glob("*.png")), ["红色的猫"])[:, 0]
    best = [f"p{row}" for row in chances.sort(descending=True).indices.tolist()]
    assert [hit["id"] for hit in reranked["hits"]] == best[:3]
    assert reranked["failures"] == []
    texts = json.loads(call("search", out, "一只猫", "--what", "text", "--json").stdout)["hits"]
    assert (texts[0]["text"], texts[0]["id"]) == ("一只猫", "pairs.tsv:3")


def test_pictures_are_classified_with_templates(given: Given, call: Call, pairs: Path) -> None:
    words = ["classify", pairs / "pictures", "--labels", "猫,草地,车", "-m", given.path, *given.words, "--json"]
    result = call(*words)
    assert result.exit_code == 0, result.stderr
    model = load(given.path, device="cpu", **given.options)
    wanted = model.classify(sorted((pairs / "pictures").glob("*.png")), ["猫", "草地", "车"])
    shown = [[label["label"] for label in row["labels"]] for row in json.loads(result.stdout)["pictures"]]
    assert shown == [[label.name for label in row] for row in wanted]
    assert call(*words, "--templates", "en").stdout != result.stdout


def test_rows_with_boxes_are_embedded_by_every_family(given: Given, call: Call, pairs: Path, tmp_path: Path) -> None:
    boxes = [[[1, 2, 30, 20]], [], [[0, 0, 9, 9], [5, 5, 40, 30]], [[3, 3, 3, 8]]]
    rows = [
        {"image_id": f"pictures/{number:02d}.png", "sentences": [["sur_text", text]], "bbox": boxes[number]}
        for number, text in enumerate(TEXTS)
    ]
    (pairs / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = call("embed", pairs / "rows.jsonl", "-m", given.path, *given.words, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    embedded = open_embedded(tmp_path / "out")
    assert embedded.images is not None
    model = load(given.path, device="cpu", **given.options)
    pictures = sorted((pairs / "pictures").glob("*.png"))
    images = model.encode_image(pictures, boxes=boxes if model.takes_boxes else None)
    np.testing.assert_allclose(embedded.images.features, images, atol=1e-6)


def test_what_was_embedded_is_searched_by_no_other_model(
    given: Given, call: Call, pairs: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert call("embed", pairs / "pictures", "-m", given.path, *given.words, "-o", out).exit_code == 0
    refused = call("search", out, "猫", "-m", model)
    assert refused.exit_code == 4
    assert "cannot be compared" in refused.stderr
    assert json.loads(call("inspect", out, "--json").stdout)["model"]["name"] == str(given.path)


def test_verifying_asks_for_something_to_compare_with(given: Given, call: Call) -> None:
    result = call("verify", given.path, *given.words)
    assert result.exit_code in (1, 4), result.stderr
    assert "--case" in result.stderr or "deviate" in result.stderr
