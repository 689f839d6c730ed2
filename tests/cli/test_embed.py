"""`tuwen embed`: what it writes, what it does again and what not, and what it says about bad input."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Call, save_pictures
from tuwen.data.embedded import open_embedded
from tuwen.loading import load


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_pictures_and_texts_become_vectors_with_their_names(
    call: Call, model: Path, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "01.txt").write_text("一只猫\n\nred grass\n", encoding="utf-8")
    result = call("embed", pictures, "-m", model, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    embedded = open_embedded(tmp_path / "out")
    assert embedded.images and embedded.texts
    assert [row.id for row in embedded.images.rows] == ["00.png", "01.png", "02.png", "03.png", "04.png"]
    assert [(row.id, row.text, row.image) for row in embedded.texts.rows] == [
        ("01.txt:1", "一只猫", "01.png"),
        ("01.txt:3", "red grass", "01.png"),
    ]
    loaded = load(model)
    expected = loaded.encode_image(sorted(pictures.glob("*.png"))).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "out" / "image_features.npy", mmap_mode="r"), expected, atol=1e-6)
    np.testing.assert_allclose(embedded.texts.features, loaded.encode_text(["一只猫", "red grass"]), atol=1e-6)
    assert manifest(tmp_path / "out")["model"]["fingerprint"] == loaded.fingerprint
    assert not (tmp_path / "out" / ".partial").exists()


@pytest.mark.parametrize(("what", "files"), [("image", {"image"}), ("text", {"text"})])
def test_only_what_is_asked_for_is_embedded(
    what: str, files: set[str], call: Call, model: Path, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "a.txt").write_text("猫", encoding="utf-8")
    assert call("embed", pictures, "-m", model, "-o", tmp_path / "out", "--what", what).exit_code == 0
    assert {path.name.split("_")[0] for path in (tmp_path / "out").glob("*.npy")} == files


def test_half_precision_halves_the_vectors(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    call("embed", pictures, "-m", model, "-o", tmp_path / "whole")
    call("embed", pictures, "-m", model, "-o", tmp_path / "half", "--half")
    half = np.load(tmp_path / "half" / "image_features.npy")
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, np.load(tmp_path / "whole" / "image_features.npy").astype(np.float16))


def test_the_summary_is_json_when_asked_for(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    result = call("embed", pictures, "-m", model, "-o", tmp_path / "out", "--json", "-q")
    assert json.loads(result.stdout)["embedded"] == 5
    assert result.stderr == ""


# -- again ------------------------------------------------------------------------------------------------------------


def embedded_now(call: Call, model: Path, pictures: Path, output: Path, *more: str) -> int:
    result = call("embed", pictures, "-m", model, "-o", output, "--json", *more)
    assert result.exit_code == 0, result.stderr
    embedded: int = json.loads(result.stdout)["embedded"]
    return embedded


def test_nothing_is_done_twice(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert embedded_now(call, model, pictures, output) == 5
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    result = call("embed", pictures, "-m", model, "-o", output)
    assert "up to date" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == before


def test_an_update_equals_a_fresh_run(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    embedded_now(call, model, pictures, output)
    (pictures / "00.png").unlink()
    shutil.copy(pictures / "01.png", pictures / "01a.png")
    shutil.copy(pictures / "04.png", pictures / "02.png")
    os.utime(pictures / "02.png", ns=(1, 1))
    assert embedded_now(call, model, pictures, output) == 2
    embedded_now(call, model, pictures, tmp_path / "fresh")
    updated, fresh = open_embedded(output).images, open_embedded(tmp_path / "fresh").images
    assert updated and fresh
    assert updated.rows == fresh.rows
    np.testing.assert_allclose(updated.features, fresh.features, atol=1e-6)


def test_a_run_that_stopped_goes_on_where_it_was(
    call: Call, model: Path, pictures: Path, truncated: Path, tmp_path: Path
) -> None:
    stopped = call("embed", pictures, "-m", model, "-o", tmp_path / "out", "--on-error", "fail", "--batch-size", "1")
    assert stopped.exit_code == 4
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / ".partial"]
    truncated.unlink()
    assert embedded_now(call, model, pictures, tmp_path / "out", "--batch-size", "1") == 2
    embedded_now(call, model, pictures, tmp_path / "fresh")
    resumed, fresh = open_embedded(tmp_path / "out").images, open_embedded(tmp_path / "fresh").images
    assert resumed and fresh
    np.testing.assert_allclose(resumed.features, fresh.features, atol=1e-6)


def test_the_input_may_lose_all_its_texts(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "a.txt").write_text("猫", encoding="utf-8")
    embedded_now(call, model, pictures, tmp_path / "out")
    (pictures / "a.txt").unlink()
    embedded_now(call, model, pictures, tmp_path / "out")
    assert open_embedded(tmp_path / "out").texts is None
    assert not (tmp_path / "out" / "text_features.npy").exists()


def test_vectors_of_two_models_never_mix(
    call: Call, model: Path, other_model: Path, pictures: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    embedded_now(call, model, pictures, output)
    before = np.load(output / "image_features.npy")
    refused = call("embed", pictures, "-m", other_model, "-o", output)
    assert refused.exit_code == 4
    assert "never mix" in refused.stderr
    np.testing.assert_array_equal(np.load(output / "image_features.npy"), before)
    assert embedded_now(call, other_model, pictures, output, "--overwrite") == 5


def test_without_pyarrow_tables_are_json_lines(
    call: Call, model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "tuwen.data.parquet", raising=False)
    monkeypatch.delattr("tuwen.data.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = call("embed", pictures, "-m", model, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "tuwen[data]" in result.stderr
    assert (tmp_path / "out" / "images.jsonl").exists()
    assert call("search", tmp_path / "out", "猫").exit_code == 0


# -- bad input --------------------------------------------------------------------------------------------------------


def test_a_truncated_picture_is_named_and_the_others_are_embedded(
    call: Call, model: Path, pictures: Path, truncated: Path, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time it is known to be bad, and still said
        result = call("embed", pictures, "-m", model, "-o", tmp_path / "out")
        assert result.exit_code == 1
        assert "02b.png" in result.stderr
    (failure,) = manifest(tmp_path / "out")["failures"]
    assert failure["id"] == "02b.png"
    assert len(np.load(tmp_path / "out" / "image_features.npy")) == 5


def test_a_mended_picture_is_embedded_next_time(
    call: Call, model: Path, pictures: Path, truncated: Path, tmp_path: Path
) -> None:
    assert call("embed", pictures, "-m", model, "-o", tmp_path / "out").exit_code == 1
    shutil.copy(pictures / "02.png", truncated)
    assert embedded_now(call, model, pictures, tmp_path / "out") == 1


def test_a_folder_of_nothing_but_bad_pictures_leaves_nothing(call: Call, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.jpg").write_text("<html>", encoding="utf-8")
    result = call("embed", folder, "-m", model, "-o", tmp_path / "out")
    assert result.exit_code == 4
    assert "a.jpg" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing", "-m", "{model}"], 4, "missing does not exist"),
        (["empty", "-m", "{model}"], 4, "is empty"),
        (["notes.csv", "-m", "{model}"], 4, "neither a folder nor a picture"),
        (["latin.txt", "-m", "{model}"], 4, "not UTF-8"),
        (["pictures", "-m", "{model}", "--what", "text"], 4, "no texts"),
        (["pictures", "-m", "chinese-clip/vit-b-61"], 3, "chinese-clip/vit-b-16"),
        (["pictures", "-m", "{model}", "--dtype", "int8"], 2, "float32, bfloat16"),
        (["pictures", "-m", "{model}", "--device", "gpu"], 2, "cpu, cuda"),
        (["pictures", "-m", "notes.csv"], 4, "notes.csv"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], code: int, said: str, call: Call, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pictures(tmp_path / "pictures", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.csv").write_text("a,b\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    result = call("embed", *(word.format(model=model) for word in words), "-o", "out", "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(call: Call, model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    result = call("embed", pictures, "-m", model, "-o", tmp_path / "out")
    assert result.exit_code == 4
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"
