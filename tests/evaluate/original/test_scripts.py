"""Feature files, predictions, ERNIE's table and BriVL's lines, on numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.features import Features
from tuwen.evaluate.original import cal_xyb_retrieval, eval_retri, feature_files, topk
from tuwen.evaluate.original.files import gold_of, write_files


def test_features_come_back_as_they_were_written(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    ids: list[int | str] = [3, 1, "x", 2, 10]
    feature_files.write(tmp_path / "f.jsonl", "image", ids, vectors)
    found = feature_files.read(tmp_path / "f.jsonl")
    assert (found.what, found.ids) == ("image", ids)
    assert np.array_equal(found.vectors, vectors)


def test_a_line_is_written_as_json_of_python(tmp_path: Path) -> None:
    feature_files.write(tmp_path / "f", "text", [1], np.array([[1e-05, 0.1]], dtype=np.float32))
    assert (tmp_path / "f").read_text() == '{"text_id": 1, "feature": [9.999999747378752e-06, 0.10000000149011612]}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text_id": 2, "feature": [1.0]}', "line 2: its feature has 1 numbers, expected 2"),
        ('{"image_id": 2, "feature": [1.0, 2.0]}', "line 2: expected an object with text_id and feature"),
        ('{"text_id": 2, "feature": ["a", "b"]}', "line 2: its feature has 2 numbers, expected 2 numbers"),
        ('{"text_id": 2}', "line 2: expected an object with text_id and feature"),
        ("not json", "line 2: expected an object"),
    ],
)
def test_a_line_that_is_no_feature_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"text_id": 1, "feature": [1.0, 2.0]}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        feature_files.read(path)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(InputError, match="is empty"):
        feature_files.read(tmp_path / "f", "text")


def test_files_are_named_as_the_original_names_them() -> None:
    assert feature_files.text_file_of("data/valid_texts.jsonl") == "data/valid_texts.txt_feat.jsonl"
    assert feature_files.image_file_of("data/valid_texts.jsonl") == "data/valid_imgs.img_feat.jsonl"
    assert feature_files.lmdb_order([5, 1000, 17, 100, 23]) == [100, 1000, 17, 23, 5]


def test_predictions_of_both_directions_keep_the_order_of_the_file_where_scores_tie(tmp_path: Path) -> None:
    image = feature_files.FeatureFile("image", [11, 5, 90], np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32))
    text = feature_files.FeatureFile("text", [1, 2], np.array([[1, 0], [1, 1]], dtype=np.float32))
    topk.write(tmp_path / "a", image, text, 2)
    assert (tmp_path / "a").read_text() == (
        '{"text_id": 1, "image_ids": [11, 90]}\n{"text_id": 2, "image_ids": [11, 5]}\n'
    )
    topk.write(tmp_path / "b", image, text, 10, "image")
    assert (tmp_path / "b").read_text().splitlines()[1] == '{"image_id": 5, "text_ids": [2, 1]}'


def test_features_of_two_models_do_not_go_together(tmp_path: Path) -> None:
    image = feature_files.FeatureFile("image", [1], np.ones((1, 2), dtype=np.float32))
    text = feature_files.FeatureFile("text", [1], np.ones((1, 3), dtype=np.float32))
    with pytest.raises(InputError, match="not of one model"):
        topk.write(tmp_path / "a", image, text)


def test_ernies_table_is_as_wide_as_its_longest_cell() -> None:
    eye = np.eye(10, dtype=np.float32)
    text = eval_retri.table(eval_retri.numbers(eye, eye))
    assert text.splitlines()[:3] == [
        "| Name       |    R@1 |    R@5 |   R@10 |   meanRecall |",
        "|------------|--------|--------|--------|--------------|",
        "| Text2Image | 100.00 | 100.00 | 100.00 |       100.00 |",
    ]


def test_brivl_prints_recall_at_one(tmp_path: Path) -> None:
    for name, vectors in (("np_img.npy", [[1, 0], [0, 1]]), ("np_text.npy", [[1, 0], [1, 0.5]])):
        np.save(tmp_path / name, np.array(vectors, dtype=np.float32))
    assert cal_xyb_retrieval.cal_xyb_retrieval(tmp_path).splitlines() == [
        "torch.Size([2, 2]) torch.Size([2, 2]) 2",
        "Pair-to-pair: calculating scores",
        "Option is img2text",
        "Recall@1:  100.00%",
        "Option is text2img",
        "Recall@1:  50.00%",
    ]
    np.save(tmp_path / "np_text.npy", np.ones((3, 2), dtype=np.float32))
    with pytest.raises(InputError, match="shape"):
        cal_xyb_retrieval.cal_xyb_retrieval(tmp_path)


def labelled() -> tuple[Features, Features, Dataset]:
    ids = [str(number) for number in range(12)]
    texts = [Text(str(100 + number), "a", (str(number % 12),)) for number in range(20)]
    data = Dataset("test", Path("set"), PAIRS, dict.fromkeys(ids, b""), texts, "valid")
    noise = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
    image, text = (Features([], rows, np.arange(len(rows))) for rows in (noise[:12], noise[12:]))
    image.ids.extend(ids)
    text.ids.extend(one.id for one in texts)
    return image, text, data


def test_every_file_of_chinese_clip_is_written_and_its_own_scripts_agree(tmp_path: Path) -> None:
    paths, lines = write_files(tmp_path, "chinese-clip", *labelled())
    assert [path.name for path in paths] == [
        "valid_texts.txt_feat.jsonl",
        "valid_imgs.img_feat.jsonl",
        "valid_predictions.jsonl",
        "valid_output.json",
        "valid_tr_predictions.jsonl",
        "valid_tr_output.json",
    ]
    assert lines[1] == f"12 image features are stored in {tmp_path / 'valid_imgs.img_feat.jsonl'}"
    assert feature_files.read(paths[1]).ids == [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]
    assert json.loads(paths[3].read_text())["success"]
    assert len(paths[4].read_text().splitlines()) == 12


@pytest.mark.parametrize(
    ("protocol", "names"), [("ernie-vil2", ["cross_modal_embeddings.out"]), ("brivl", ["np_img.npy", "np_text.npy"])]
)
def test_files_of_pairs_have_a_row_for_each(tmp_path: Path, protocol: str, names: list[str]) -> None:
    paths, lines = write_files(tmp_path, protocol, *labelled())
    assert [path.name for path in paths] == names
    assert lines[0].startswith("| Name" if protocol == "ernie-vil2" else "torch.Size([20, 4])")


def test_a_protocol_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bridgetower has no files"):
        write_files(tmp_path, "bridgetower", *labelled())


def test_answers_are_whole_numbers_again() -> None:
    gold = gold_of(labelled()[2])
    assert gold["text"][100] == [0]
    assert gold["image"][0] == [100, 112]
