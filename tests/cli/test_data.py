"""`tuwen data`: what is there, what is wrong with it, and the same in another format."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.datasets import content_of, files_of, png, save_images, save_split, save_texts
from tuwen.cli.data import app
from tuwen.data import formats


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two splits without anything in common, and texts of pictures only."""
    folder = tmp_path / "raw"
    for split, first in (("train", 0), ("valid", 1000)):
        save_split(folder, split, first=first)
        texts = [(first + number, f"第{first + number}张", [first + 7 * number]) for number in range(6)]
        save_texts(folder / f"{split}_texts.jsonl", texts)
    return folder


@pytest.mark.parametrize("name", [command.name for command in app.registered_commands])
def test_every_command_has_help_in_both_languages(name: str, call: Call) -> None:
    out = call("data", name, "--help").stdout
    assert " / " in out
    assert any("\u4e00" <= letter <= "\u9fff" for letter in out)


# -- inspect ----------------------------------------------------------------------------------------------------------


def test_a_clean_dataset_is_shown_with_exit_code_0(raw: Path, call: Call) -> None:
    result = call("data", "inspect", raw, "--show", 2)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[2].split()[:5] == ["train", "pairs", "6", "6", "6"]
    assert lines[4:6] == ["train: samples / 示例", "  0  第0张  <- 0"]
    assert len(lines) == 10
    assert "chinese-clip · train, valid" in result.stderr
    assert call("data", "inspect", raw, "--quiet", "--split", "valid").stderr == ""


def test_problems_are_named_with_exit_code_1(raw: Path, call: Call) -> None:
    save_images(raw / "valid_imgs.tsv", [(1000, png(7)), (1007, b"no picture"), (1014, png(1014))])
    result = call("data", "inspect", raw, "--json", "--quiet")
    assert result.exit_code == 1
    train, valid = json.loads(result.stdout)["splits"]
    assert train["findings"] == []
    found = {finding["name"]: finding for finding in valid["findings"]}
    assert {name for name, finding in found.items() if finding["problem"]} == {
        "broken_rows",
        "broken_pictures",
        "leaked_pictures",
    }
    assert found["leaked_pictures"]["examples"] == ["1000"]
    assert found["leaked_pictures"]["what"] == "pictures are in train, too"
    assert found["broken_rows"]["count"] == 3
    assert valid["counts"]["pairs"] == 3
    shown = call("data", "inspect", raw, "--quiet").stdout
    assert "valid: problem / 问题 (1): pictures are in train, too" in shown


def test_leaks_into_another_dataset_are_found(raw: Path, tmp_path: Path, call: Call) -> None:
    other = save_split(tmp_path / "other", "test", 4)
    result = call("data", "inspect", raw, "--split", "train", "--against", other, "--json", "--quiet")
    assert result.exit_code == 1
    found = json.loads(result.stdout)["splits"][0]["findings"]
    assert [(finding["name"], finding["count"]) for finding in found] == [("leaked_pictures", 4)]
    assert call("data", "inspect", raw, "--split", "valid", "--against", f"{raw}:train", "--quiet").exit_code == 0


def test_a_truncated_picture_is_found_when_it_is_decoded(raw: Path, call: Call) -> None:
    picture = png(5, (64, 64))
    save_images(
        raw / "train_imgs.tsv", [(7 * number, picture[:-30] if number == 3 else png(number)) for number in range(6)]
    )
    assert call("data", "inspect", raw, "--quiet", "--split", "train", "--check", "header").exit_code == 0
    result = call("data", "inspect", raw, "--quiet", "--split", "train", "--check", "decode")
    assert result.exit_code == 1
    assert "21: " in result.stdout
    skipped = call("data", "inspect", raw, "--quiet", "--split", "train", "--check", "skip", "--json")
    assert "picture_bytes" not in json.loads(skipped.stdout)["splits"][0]["counts"]


def test_long_texts_are_counted_by_a_models_tokens(raw: Path, model: Path, call: Call) -> None:
    given = ("data", "inspect", raw, "--split", "train", "--json", "--quiet")
    plain = json.loads(call(*given, "-m", model).stdout)["splits"][0]
    assert plain["lengths"]["tokens"]["longest"] > 2
    assert plain["findings"] == []
    for more in (
        ["-m", model, "--context-length", 4],
        ["--tokenizer", model / "tokenizer.json", "--context-length", 4],
    ):
        result = call(*given, *more)
        assert [finding["name"] for finding in json.loads(result.stdout)["splits"][0]["findings"]] == ["long_texts"]
        assert result.exit_code == 0
    result = call(*given, "--context-length", 4)
    assert result.exit_code == 2
    assert "-m MODEL or --tokenizer" in result.stderr


def test_what_is_no_dataset_is_exit_code_4(tmp_path: Path, call: Call) -> None:
    result = call("data", "inspect", tmp_path / "none")
    assert result.exit_code == 4
    assert result.stderr.startswith("tuwen: there is nothing at ")
    assert call("data", "inspect", tmp_path).exit_code == 4


# -- convert ----------------------------------------------------------------------------------------------------------


def test_all_splits_are_converted_there_and_back(raw: Path, tmp_path: Path, call: Call) -> None:
    result = call("data", "convert", raw, tmp_path / "lmdb", "--to", "chinese-clip-lmdb", "--json")
    assert result.exit_code == 0
    assert [row["split"] for row in json.loads(result.stdout)["splits"]] == ["train", "valid"]
    assert call("data", "convert", tmp_path / "lmdb", tmp_path / "back", "--to", "chinese-clip").exit_code == 0
    for split in ("train", "valid"):
        one, other = (formats.open_dataset(path, split) for path in (raw, tmp_path / "back"))
        assert content_of(one) == content_of(other)
    again = call("data", "convert", raw, tmp_path / "lmdb", "--to", "chinese-clip-lmdb")
    assert again.exit_code == 4
    assert "is there already" in again.stderr
    whole = files_of(tmp_path / "lmdb")
    assert call("data", "convert", raw, tmp_path / "lmdb", "--to", "chinese-clip-lmdb", "--overwrite").exit_code == 0
    assert files_of(tmp_path / "lmdb") == whole


def test_several_splits_do_not_go_into_one_file(raw: Path, tmp_path: Path, call: Call) -> None:
    table = tmp_path / "all.csv"
    result = call("data", "convert", raw, table, "--to", "table", "--overwrite")
    assert result.exit_code == 2
    assert "is one file for the splits train, valid" in result.stderr
    assert not table.exists()
    assert call("data", "convert", raw, table, "--to", "table", "--split", "train").exit_code == 0


def test_bad_rows_are_skipped_and_named_or_stop_it(raw: Path, tmp_path: Path, call: Call) -> None:
    with (raw / "train_imgs.tsv").open("a") as file:
        file.write("99\t!!!!\n")
    given = ("data", "convert", raw, tmp_path / "out", "--to", "chinese-clip", "--split", "train")
    stopped = call(*given, "--on-error", "fail")
    assert stopped.exit_code == 4
    assert "train_imgs.tsv:7: its base64 has '!'" in stopped.stderr
    assert not (tmp_path / "out").exists()
    skipped = call(*given, "--quiet")
    assert skipped.exit_code == 1
    assert skipped.stderr.startswith("failed / 失败: train_imgs.tsv:7: its base64")
    assert len(formats.open_dataset(tmp_path / "out").pictures) == 6


def test_a_dataset_is_shared_out_and_cleaned(raw: Path, tmp_path: Path, call: Call) -> None:
    texts = [(number, f"男人/n 骑/v 马/n {number}/m", [7 * number]) for number in range(6)]
    save_texts(raw / "train_texts.jsonl", texts)
    given = ("data", "convert", raw, tmp_path / "out", "--to", "chinese-clip", "--split", "train", "--strip-pos")
    assert call(*given, "--parts", "train=0.5,valid=0.5", "--seed", 3).exit_code == 0
    parts = [formats.open_dataset(tmp_path / "out", split) for split in ("train", "valid")]
    assert [len(part.pictures) for part in parts] == [3, 3]
    assert all("/" not in text.text and text.text.startswith("男人骑马") for part in parts for text in part.texts)
    assert call("data", "inspect", tmp_path / "out").exit_code == 0


def test_pictures_are_written_as_jpeg(raw: Path, tmp_path: Path, call: Call) -> None:
    given = ("data", "convert", raw, tmp_path / "out", "--to", "chinese-clip", "--split", "train", "--as", "dev")
    assert call(*given, "--jpeg", 95).exit_code == 0
    dataset = formats.open_dataset(tmp_path / "out")
    assert dataset.split == "dev"
    assert all(bytes(dataset.pictures[id])[:3] == b"\xff\xd8\xff" for id in dataset.pictures)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "nothing"], "there is no format 'nothing'"),
        (["--to", "chinese-clip", "--as", "x"], "--as names one split"),
        (["--to", "chinese-clip", "--parts", "a=1"], "--parts shares out one split"),
        (["--to", "chinese-clip", "--split", "train", "--parts", "a"], "expected e.g. train=0.8"),
        (["--to", "chinese-clip", "--split", "train", "--parts", "a=2"], "1 together"),
        (["--to", "chinese-clip", "--column", "text"], "OURS=THEIRS"),
        (["--to", "vqav2"], "vqav2 is read only"),
    ],
)
def test_wrong_usage_of_convert_is_exit_code_2(
    words: list[str], said: str, raw: Path, tmp_path: Path, call: Call
) -> None:
    result = call("data", "convert", raw, tmp_path / "out", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


# -- build ------------------------------------------------------------------------------------------------------------


def test_an_lmdb_is_built_where_the_original_builds_it(raw: Path, call: Call) -> None:
    result = call("data", "build", raw, "--splits", "valid,train", "--format", "original")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"Finished serializing 6 valid split pairs into {raw}/lmdb/valid/pairs.",
        f"Finished serializing 6 valid split images into {raw}/lmdb/valid/imgs.",
        f"Finished serializing 6 train split pairs into {raw}/lmdb/train/pairs.",
        f"Finished serializing 6 train split images into {raw}/lmdb/train/imgs.",
        "done!",
    ]
    ours = call("data", "build", raw, "-o", raw.parent / "ours")
    assert ours.exit_code == 0
    assert ours.stdout.splitlines()[2].split() == ["train", "chinese-clip", "chinese-clip-lmdb", "6", "6"]
    assert call("data", "build", raw, "-o", raw.parent / "ours").exit_code == 4
    one, other = (formats.open_dataset(path, "train", "chinese-clip-lmdb") for path in (raw, raw.parent / "ours"))
    assert content_of(one) == content_of(other)


def test_bad_rows_are_told_when_an_lmdb_is_built(raw: Path, call: Call) -> None:
    row = base64.b64encode(png(1))[:-3]
    (raw / "train_imgs.tsv").write_bytes(b"0\t" + row + b"\n")
    result = call("data", "build", raw, "--splits", "train", "--quiet")
    assert result.exit_code == 1
    assert "train_imgs.tsv:1: its base64 has" in result.stderr
    failing = call("data", "build", raw, "--splits", "train", "--quiet", "--on-error", "fail", "--overwrite")
    assert failing.exit_code == 4


def test_texts_of_pictures_are_turned_round(raw: Path, call: Call) -> None:
    result = call("data", "build", raw / "train_texts.jsonl", "--to", "tr")
    assert result.exit_code == 0
    first = (raw / "train_texts.tr.jsonl").read_text().splitlines()[0]
    assert first == '{"image_id": 0, "text_ids": [0]}'
    assert "6 pictures -> " in result.stderr
    other = call(
        "data", "build", raw / "train_texts.jsonl", "--to", "tr", "-o", raw / "x.jsonl", "--format", "original"
    )
    assert (other.stdout, other.stderr) == ("", "")
    assert (raw / "x.jsonl").exists()


def test_nothing_to_build_is_said(tmp_path: Path, call: Call) -> None:
    result = call("data", "build", tmp_path)
    assert result.exit_code == 4
    assert "there is nothing to build" in result.stderr
