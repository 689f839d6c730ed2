"""`tuwen embed` of datasets in any format, and a search over what came out."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Call, save_pictures
from tests.datasets import save_images, save_texts
from tuwen.data import formats
from tuwen.data.embedded import open_embedded
from tuwen.data.inputs import content, find, is_inside
from tuwen.errors import InputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three pictures and four captions in Chinese-CLIP's raw files."""
    folder = save_pictures(tmp_path / "pictures", 3)
    files = sorted(folder.iterdir())
    save_images(
        tmp_path / "raw" / "valid_imgs.tsv", [(number + 5, file.read_bytes()) for number, file in enumerate(files)]
    )
    rows = [(0, "一只猫", [5]), (1, "红色的猫", [6, 5]), (2, "草地", [7]), (3, "照片", [7])]
    save_texts(tmp_path / "raw" / "valid_texts.jsonl", rows)
    return tmp_path / "raw"


@pytest.mark.parametrize(
    "form", ["chinese-clip", "chinese-clip-lmdb", "webdataset", "parquet", "table", "arrow", "folder"]
)
def test_a_dataset_is_embedded_and_searched(form: str, source: Path, call: Call, model: Path, tmp_path: Path) -> None:
    path = source
    if form != "chinese-clip":
        path = tmp_path / "data"
        formats.write(formats.open_dataset(source), path, form)
    result = call("embed", path, "-m", model, "-o", tmp_path / "out", "--what", "both")
    assert result.exit_code == 0, result.stderr
    embedded = open_embedded(tmp_path / "out")
    assert embedded.images and embedded.texts
    assert sorted(row.id for row in embedded.images.rows) == ["5", "6", "7"]
    assert {row.text for row in embedded.texts.rows} == {"一只猫", "红色的猫", "草地", "照片"}
    assert {row.image for row in embedded.texts.rows} <= {"5", "6", "7"}
    call("embed", tmp_path / "pictures", "-m", model, "-o", tmp_path / "plain")
    plain = open_embedded(tmp_path / "plain").images
    assert plain
    order = np.argsort([row.id for row in embedded.images.rows])
    np.testing.assert_allclose(np.asarray(embedded.images.features)[order], plain.features, atol=1e-6)
    for row in embedded.images.rows:
        picture = content(row.source)
        expected = (tmp_path / "pictures" / f"0{int(row.id) - 5}.png").read_bytes()
        assert (picture if isinstance(picture, bytes) else Path(picture).read_bytes()) == expected
        assert is_inside(row.source) == (form not in ("table", "folder"))
    page = tmp_path / "page.html"
    result = call("search", tmp_path / "out", "猫", "-m", model, "--html", page, "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.stderr
    assert page.read_text(encoding="utf-8").count('<img src="data:image') == (
        3 if form not in ("table", "folder") else 0
    )
    again = call("embed", path, "-m", model, "-o", tmp_path / "out")
    assert "up to date" in again.stderr


def test_one_of_several_splits_is_named(source: Path, call: Call, model: Path, tmp_path: Path) -> None:
    formats.write(formats.open_dataset(source), source, "chinese-clip", "test")
    refused = call("embed", source, "-m", model, "-o", tmp_path / "out")
    assert refused.exit_code == 4
    assert "has the splits valid, test: name one" in refused.stderr
    assert call("embed", source, "-m", model, "-o", tmp_path / "out", "--split", "test").exit_code == 0


def test_rows_of_a_table_that_cannot_be_used_are_named(call: Call, model: Path, tmp_path: Path) -> None:
    save_pictures(tmp_path / "images", 1)
    rows = [
        {"image": "00.png", "text": "猫"},
        {"image": "01.png", "text": "没有"},
        {"image": base64.b64encode(b"\x89PNG no picture" * 9).decode(), "text": "破"},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = call("embed", path, "-m", model, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "pairs.jsonl:2" in result.stderr
    assert "pairs.jsonl:3" in result.stderr
    embedded = open_embedded(tmp_path / "out")
    assert embedded.images
    assert [row.id for row in embedded.images.rows] == ["00.png"]


def test_boxes_of_a_table_come_with_its_pictures(tmp_path: Path) -> None:
    save_pictures(tmp_path / "images", 2)
    rows = [{"image": "00.png", "text": "猫", "boxes": [[1, 2, 3, 4]]}, {"image": "01.png", "text": "狗"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [picture.boxes for picture in find(path).pictures] == ["[[1, 2, 3, 4]]", None]


def test_a_picture_that_is_gone_from_its_dataset_is_said(source: Path, tmp_path: Path) -> None:
    (one, *_) = find(source).pictures
    assert content(one.source) == (tmp_path / "pictures" / "00.png").read_bytes()
    save_images(source / "valid_imgs.tsv", [(8, b"x")])
    with pytest.raises(InputError, match=r"has no picture 5 any more: embed it again"):
        content(one.source)
