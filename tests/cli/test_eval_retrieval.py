"""`tuwen eval retrieval`, `topk` and `score`."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Call, save_pictures

WORDS = ["红色的猫", "绿色草地", "一只猫", "photo of a cat"]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four pictures and texts in Chinese-CLIP's layout; the last text has no picture."""
    folder = tmp_path / "set"
    folder.mkdir()
    files = sorted(save_pictures(tmp_path / "pictures", 4).glob("*.png"))
    with (folder / "valid_imgs.tsv").open("w") as out:
        for number, file in enumerate(files, 7):
            out.write(f"{number}\t{base64.b64encode(file.read_bytes()).decode()}\n")
    with (folder / "valid_texts.jsonl").open("w", encoding="utf-8") as out:
        for number, word in enumerate(WORDS):
            named = [7 + number] if number < 3 else []
            out.write(json.dumps({"text_id": number, "text": word, "image_ids": named}, ensure_ascii=False) + "\n")
    return folder


def test_a_model_is_evaluated_and_the_second_time_nothing_is_embedded(
    call: Call, dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("eval", "retrieval", dataset, "-m", model, "-o", tmp_path / "runs", "--json", "--quiet")
    first = call(*words)
    assert first.exit_code == 0, first.stderr
    figures = json.loads(first.stdout)[0]["figures"]
    assert {"text_to_image_r1", "image_to_text_median_rank", "mean_recall", "text_to_image_ndcg10"} <= figures.keys()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was embedded again")

    monkeypatch.setattr("tuwen.model.Model.embed_images", never)
    monkeypatch.setattr("tuwen.model.Model.encode_text", never)
    again = call(*words)
    assert json.loads(again.stdout)[0]["figures"] == figures


def test_the_submission_names_ten_pictures_for_each_text(
    call: Call, dataset: Path, model: Path, tmp_path: Path
) -> None:
    done = call("eval", "retrieval", dataset, "-m", model, "--submit", tmp_path / "out.jsonl", "--quiet")
    assert done.exit_code == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["text_id"] for row in rows] == [0, 1, 2, 3]
    assert all(sorted(row["image_ids"]) == [7, 8, 9, 10] for row in rows)


def test_the_originals_files_are_written_beside_the_run(call: Call, dataset: Path, model: Path, tmp_path: Path) -> None:
    words = ("--protocol", "original", "--format", "original", "-o", tmp_path / "runs", "--quiet")
    done = call("eval", "retrieval", dataset, "-m", model, *words)
    assert done.exit_code == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "original").iterdir()
    assert {path.name for path in folder.iterdir()} >= {"valid_predictions.jsonl", "valid_tr_output.json"}
    assert "4 text features are stored in" in done.stdout
    assert "they count as misses" in done.stderr
    score = json.loads((folder / "valid_output.json").read_text())["scoreJson"]
    assert score["r10"] == 75  # a text without pictures is a miss
    (run,) = (tmp_path / "runs").glob("*.json")
    assert folder.name == run.stem
    missing = call("eval", "retrieval", dataset, "-m", model, "--format", "original")
    assert missing.exit_code == 2


def test_models_of_one_family_leave_their_files_in_folders_of_their_own(
    call: Call, dataset: Path, model: Path, other_model: Path, tmp_path: Path
) -> None:
    again = tmp_path / "elsewhere" / model.name  # a name that another one has
    shutil.copytree(other_model, again)
    words = ("--protocol", "original", "--format", "original", "-o", tmp_path / "runs", "--json", "--quiet")
    done = call("eval", "retrieval", dataset, "-m", model, "-m", again, *words)
    assert done.exit_code == 0, done.stderr
    assert len(json.loads(done.stdout)) == 2
    call("eval", "retrieval", dataset, "-m", model, "--protocol", "paddlenlp", *words[2:])
    folders = sorted((tmp_path / "runs" / "original").iterdir())
    assert [folder.name for folder in folders] == sorted(path.stem for path in (tmp_path / "runs").glob("*.json"))
    assert len(folders) == 3
    features = {(folder / "valid_imgs.img_feat.jsonl").read_bytes() for folder in folders}
    assert len(features) > 1


def test_a_protocol_without_files_is_refused_before_the_work(
    call: Call, dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bar(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr("tuwen.cli.console.bar", bar)
    done = call("eval", "retrieval", dataset, "-m", model, "--format", "original", "-o", tmp_path / "runs", "-q")
    assert done.exit_code == 2
    assert "the protocol own has no files" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_picture_that_cannot_be_read_makes_exit_code_1(call: Call, dataset: Path, model: Path) -> None:
    table = dataset / "valid_imgs.tsv"
    table.write_text(table.read_text() + f"11\t{base64.b64encode(b'no picture').decode()}\n")
    done = call("eval", "retrieval", dataset, "-m", model, "--quiet")
    assert done.exit_code == 1
    assert "11" in done.stderr
    assert call("eval", "retrieval", dataset, "-m", model, "--quiet", "--on-error", "fail").exit_code == 4


def save(folder: Path, **sides: np.ndarray) -> list[Path]:
    for what, vectors in sides.items():
        np.save(folder / f"{what}.npy", vectors.astype(np.float32))
    return [folder / f"{what}.npy" for what in sides]


def test_features_from_files_need_no_model(call: Call, dataset: Path, tmp_path: Path) -> None:
    image, text = save(tmp_path, image=np.eye(4), text=np.eye(4)[:, [0, 2, 1, 3]])
    (tmp_path / "image.json").write_text(json.dumps({"ids": [7, 8, 9, 10]}))
    for source in (dataset, dataset / "valid_texts.jsonl"):
        done = call("eval", "retrieval", source, "--features", image, text, "--json", "--quiet")
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["figures"]["text_to_image_r1"] == pytest.approx(1 / 3)
    pairs = call("eval", "retrieval", "--features", image, text, "--json")
    assert json.loads(pairs.stdout)["figures"]["text_to_image_r1"] == 0.5


def test_files_of_features_from_two_places_lie_apart(call: Call, dataset: Path, tmp_path: Path) -> None:
    for name, image in (("a", np.eye(4)), ("b", np.eye(4)[::-1])):
        (tmp_path / name).mkdir()
        pair = save(tmp_path / name, image=image, text=np.eye(4))
        (tmp_path / name / "image.json").write_text(json.dumps({"ids": [7, 8, 9, 10]}))
        words = ("--protocol", "original", "--format", "original", "-o", tmp_path / "runs", "--json")
        done = call("eval", "retrieval", dataset, "--features", *pair, *words)
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["figures"]
    folders = list((tmp_path / "runs" / "original").iterdir())
    assert len({(folder / "valid_predictions.jsonl").read_bytes() for folder in folders}) == 2
    assert {folder.name.rpartition(".")[0] for folder in folders} == {"set.chinese-clip.image"}


def test_files_of_pairs_are_scored_as_their_scripts_do(call: Call, tmp_path: Path) -> None:
    (tmp_path / "cross_modal_embeddings.out").write_text("1 0\t1 0\t1\n0 1\t0 1\t1\n")
    done = call("eval", "retrieval", tmp_path / "cross_modal_embeddings.out", "--protocol", "original")
    assert "| Text2Image | 100.00 | 100.00 | 100.00 |       100.00 |" in done.stdout
    save(tmp_path, np_img=np.eye(2), np_text=np.eye(2))
    done = call("eval", "retrieval", tmp_path, "--protocol", "original")
    assert "Option is img2text\nRecall@1:  100.00%" in done.stdout


@pytest.mark.parametrize("words", [[], ["somewhere"], ["-m", "demo"], ["x", "-m", "demo", "--features", "a", "b"]])
def test_what_is_missing_is_named(call: Call, words: list[str]) -> None:
    done = call("eval", "retrieval", *words)
    assert done.exit_code == 2
    assert done.stderr.startswith("tuwen: ")


def gold_and_predictions(folder: Path, rows: list[Any]) -> list[Path]:
    contents = {"gold.jsonl": [{"text_id": 1, "image_ids": [7]}, {"text_id": 2, "image_ids": [8]}], "found.jsonl": rows}
    for name, lines in contents.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [folder / name for name in contents]


def test_predictions_come_from_features_and_are_scored(call: Call, tmp_path: Path) -> None:
    image, text = save(tmp_path, image=np.eye(3), text=np.eye(3))
    done = call("eval", "topk", image, text, "-o", tmp_path / "found.jsonl", "-k", 2, "--query", "image")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "found.jsonl").read_text().splitlines()[1] == '{"image_id": 1, "text_ids": [1, 0]}'


def test_a_score_is_printed_and_written(call: Call, tmp_path: Path) -> None:
    rows = [{"text_id": 1, "image_ids": [7]}, {"text_id": 2, "image_ids": [1, 8]}]
    gold, found = gold_and_predictions(tmp_path, rows)
    done = call("eval", "score", gold, found, tmp_path / "score.json", "--json")
    assert json.loads(done.stdout)["figures"]["text_to_image_r1"] == 0.5
    assert json.loads((tmp_path / "score.json").read_text())["scoreJson"]["r5"] == 100
    found.write_text("")
    assert call("eval", "score", gold, found).exit_code == 4


def test_the_originals_script_never_fails(call: Call, tmp_path: Path) -> None:
    gold, found = gold_and_predictions(tmp_path, [{"text_id": 1, "image_ids": [7]}])
    done = call("eval", "score", gold, found, tmp_path / "score.json", "--protocol", "original")
    assert done.exit_code == 0
    message = "Text_id 1 has wrong number of predicted image_ids! Require 10, but 1 founded."
    assert done.stdout.splitlines()[-1] == f"The evaluation failed: {message}"
    assert json.loads((tmp_path / "score.json").read_text())["errorMsg"] == message
    assert call("eval", "score", gold, found, "--protocol", "original").exit_code == 2
