"""Features from files of every kind, matched with what they are of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.errors import InputError
from tuwen.evaluate import feature_files
from tuwen.evaluate.original import feature_files as original
from tuwen.evaluate.original.feature_files import FeatureFile
from tuwen.evaluate.retrieval import score

VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_a_npy_has_its_ids_beside_or_counts_its_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS)
    assert feature_files.read(tmp_path / "a.npy", "image").ids == [0, 1, 2]
    (tmp_path / "a.json").write_text(json.dumps({"ids": [5, "b", 7]}))
    found = feature_files.read(tmp_path / "a.npy", "image")
    assert found.ids == [5, "b", 7]
    assert np.array_equal(found.vectors, VECTORS)
    for content, message in (("[1]", "must hold"), ('{"ids": [1]}', "has 1 ids, a.npy has 3 rows")):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputError, match=message):
            feature_files.read(tmp_path / "a.npy", "image")


def test_json_lines_are_those_of_the_original(tmp_path: Path) -> None:
    original.write(tmp_path / "a.jsonl", "text", [1, 2, 3], VECTORS)
    assert feature_files.read(tmp_path / "a.jsonl", "text").ids == [1, 2, 3]
    with pytest.raises(InputError, match="expected an object with image_id"):
        feature_files.read(tmp_path / "a.jsonl", "image")


@pytest.mark.parametrize("name", ["absent.npy", "a.txt", "."])
def test_what_holds_no_features_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError):
        feature_files.read(tmp_path / name, "image")


@pytest.mark.parametrize("array", [np.zeros(3, dtype=np.float32), np.zeros((2, 2), dtype=np.int64)])
def test_a_npy_must_be_a_table_of_numbers(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=r"expected \(N, E\)"):
        feature_files.read(tmp_path / "a.npy", "image")
    (tmp_path / "a.npy").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        feature_files.read(tmp_path / "a.npy", "image")


def test_features_are_put_into_the_order_of_the_dataset() -> None:
    texts = [Text("t", "a", ("2",))]
    data = Dataset("test", Path("set"), PAIRS, {"1": b"", "2": b"", "3": b""}, texts)
    image, text = feature_files.of_dataset(
        FeatureFile("image", [3, 9, 2], VECTORS), FeatureFile("text", ["t"], VECTORS[:1]), data
    )
    assert image.ids == ["2", "3"]
    assert image.places.tolist() == [1, 2]
    assert image.vectors.tolist() == [[4, 5], [0, 1]]
    assert text.ids == ["t"]
    with pytest.raises(InputError, match="none of the 1 ids of text features"):
        feature_files.of_dataset(FeatureFile("image", [3], VECTORS[:1]), FeatureFile("text", [5], VECTORS[:1]), data)


def test_pairs_of_ernie_and_of_brivl_go_row_by_row(tmp_path: Path) -> None:
    (tmp_path / "x.out").write_text("1 0\t1 0\t1\n0 1\t0 1\t1\n")
    np.save(tmp_path / "np_img.npy", np.eye(2, dtype=np.float32))
    np.save(tmp_path / "np_text.npy", np.eye(2, dtype=np.float32))
    for path in (tmp_path / "x.out", tmp_path):
        assert feature_files.is_pairs(path)
        image, text, data = feature_files.of_rows(*feature_files.read_pairs(path), path)
        assert score(image, text, data).figures["mean_recall"] == 1
    assert not feature_files.is_pairs(tmp_path / "np_img.npy")
    with pytest.raises(InputError, match="do not go together row by row"):
        feature_files.of_rows(FeatureFile("image", [0, 1, 2], VECTORS), FeatureFile("text", [0], VECTORS[:1]), tmp_path)


def test_a_file_of_texts_alone_says_what_is_right(tmp_path: Path) -> None:
    path = tmp_path / "valid_texts.jsonl"
    path.write_text('{"text_id": 1, "text": "a", "image_ids": [7]}\n{"text_id": 2, "text": "b", "image_ids": [8]}\n')
    image = FeatureFile("image", [8, 7], np.eye(2, dtype=np.float32))
    text = FeatureFile("text", [1, 2], np.eye(2, dtype=np.float32)[::-1].copy())
    data = feature_files.annotated(path, image)
    figures = score(*feature_files.of_dataset(image, text, data), data).figures
    assert figures["text_to_image_r1"] == 1
