"""`tuwen embed --format original`: the files that the models' own tools write, from their own input files."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call, save_pictures
from tests.models.tiny_towers import save_brivl, save_ernie
from tuwen.data.embedded import open_embedded
from tuwen.loading import load
from tuwen.models import ernie_vil2

OUT = "cross_modal_embeddings.out"


@pytest.fixture(scope="module")
def ernie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_ernie(tmp_path_factory.mktemp("ernie") / "model")


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_brivl(tmp_path_factory.mktemp("brivl") / "model")


def jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.RandomState(seed).randint(0, 256, (40, 52, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def table(folder: Path, *texts: str, bad: tuple[int, ...] = ()) -> Path:
    """A row for each text; of the `bad` ones, counted from 1, the picture cannot be decoded."""
    path = folder / "pairs.data"
    pictures = [b"\xff\xd8\xff no more" if row in bad else jpeg(row) for row in range(1, len(texts) + 1)]
    lines = [
        f"{text}\tp{row}\t{base64.b64encode(picture).decode()}\n"
        for row, (text, picture) in enumerate(zip(texts, pictures, strict=True), 1)
    ]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def rows(folder: Path, count: int, boxes: list[list[float]] | None = None) -> Path:
    """`imgs/` and `jsonls/` of so many rows."""
    save_pictures(folder / "imgs", count)
    (folder / "jsonls").mkdir(exist_ok=True)
    lines = [
        json.dumps(
            {"image_id": f"imgs/{row:02d}.png", "sentences": [["sur_text", "猫" * (row + 1)]], "bbox": boxes or []}
        )
        for row in range(count)
    ]
    (folder / "jsonls/example.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_every_row_is_a_line_of_text_vector_picture_vector_and_one(call: Call, ernie: Path, tmp_path: Path) -> None:
    source = table(tmp_path, "猫", "红色的猫", "猫")
    result = call("embed", source, "-m", ernie, "-o", tmp_path / "out", "--format", "original")
    assert result.exit_code == 0, result.stderr
    model = load(ernie)
    lines = (tmp_path / "out" / OUT).read_text(encoding="utf-8").splitlines()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [OUT]
    texts, images = model.encode_text(["猫", "红色的猫", "猫"]), model.encode_image([jpeg(row) for row in (1, 2, 3)])
    for line, text, image in zip(lines, texts, images, strict=True):
        first, second, third = line.split("\t")
        assert third == "1"
        for printed, vector in ((first, text), (second, image)):
            numbers = np.array(printed.split(" "), dtype=np.float32)
            np.testing.assert_allclose(numbers, vector, atol=1e-6)
            assert printed == " ".join(str(number) for number in numbers)


def test_bad_rows_are_named_with_file_and_line_and_left_out(call: Call, ernie: Path, tmp_path: Path) -> None:
    source = table(tmp_path, "猫", "红", "草", bad=(2,))
    source.write_text(source.read_text(encoding="utf-8") + "\n只有\n", encoding="utf-8")
    result = call("embed", source, "-m", ernie, "-o", tmp_path / "out", "--format", "original")
    assert result.exit_code == 1
    for line in (2, 4, 5):
        assert f"pairs.data:{line}: " in result.stderr
    assert len((tmp_path / "out" / OUT).read_text(encoding="utf-8").splitlines()) == 2


def test_a_run_that_stops_at_a_bad_row_leaves_no_file_and_goes_on(call: Call, ernie: Path, tmp_path: Path) -> None:
    words = ["embed", tmp_path / "pairs.data", "-m", ernie, "-o", tmp_path / "out", "--format", "original"]
    table(tmp_path, "猫", "红", "草", bad=(3,))
    stopped = call(*words, "--on-error", "fail", "--batch-size", "1")
    assert stopped.exit_code == 4
    assert not (tmp_path / "out" / OUT).exists()
    assert json.loads(call(*words, "--json").stdout.replace("\n", ""))["embedded"] < 6


def test_what_was_written_before_is_replaced_only_when_asked(call: Call, ernie: Path, tmp_path: Path) -> None:
    words = ["embed", table(tmp_path, "猫"), "-m", ernie, "-o", tmp_path / "out", "--format", "original"]
    call(*words)
    (tmp_path / "out" / OUT).write_text("mine", encoding="utf-8")
    refused = call(*words)
    assert refused.exit_code == 4
    assert "--overwrite" in refused.stderr
    assert (tmp_path / "out" / OUT).read_text(encoding="utf-8") == "mine"
    assert call(*words, "--overwrite").exit_code == 0
    assert (tmp_path / "out" / OUT).read_text(encoding="utf-8").endswith("\t1\n")


def test_vectors_of_an_embedded_folder_are_used_again(call: Call, ernie: Path, tmp_path: Path) -> None:
    words = ["embed", table(tmp_path, "猫", "红"), "-m", ernie, "-o", tmp_path / "out", "--json"]
    assert json.loads(call(*words).stdout)["embedded"] == 4
    assert json.loads(call(*words, "--format", "original").stdout)["embedded"] == 0
    embedded = open_embedded(tmp_path / "out")
    assert embedded.images is not None
    assert embedded.texts is not None
    assert [row.image for row in embedded.texts.rows] == [row.id for row in embedded.images.rows] == ["p1", "p2"]
    images, texts = ernie_vil2.outputs.read(tmp_path / "out" / OUT)
    np.testing.assert_array_equal(images, embedded.images.features)
    np.testing.assert_array_equal(texts, embedded.texts.features)


def test_rows_of_a_jsonl_become_two_arrays_line_by_line(call: Call, regions: Path, tmp_path: Path) -> None:
    rows(tmp_path / "data", 3)
    result = call("embed", tmp_path / "data", "-m", regions, "-o", tmp_path / "out", "--format", "original")
    assert result.exit_code == 0, result.stderr
    model = load(regions)
    images, texts = (np.load(tmp_path / "out" / name) for name in ("np_img.npy", "np_text.npy"))
    assert images.dtype == texts.dtype == np.float32
    assert images.flags.c_contiguous
    np.testing.assert_allclose(texts, model.encode_text(["猫", "猫猫", "猫猫猫"]), atol=1e-6)
    np.testing.assert_allclose(images, model.encode_image(sorted((tmp_path / "data/imgs").iterdir())), atol=1e-6)


def test_two_lists_become_two_arrays_of_their_own_lengths(call: Call, regions: Path, tmp_path: Path) -> None:
    save_pictures(tmp_path / "images", 2)
    (tmp_path / "input_data").mkdir()
    (tmp_path / "input_data/images.csv").write_text("01.png\n00.png\n", encoding="utf-8")
    (tmp_path / "input_data/texts.csv").write_text("猫\n红\n草\n", encoding="utf-8")
    result = call("embed", tmp_path / "input_data", "-m", regions, "-o", tmp_path / "out", "--format", "original")
    assert result.exit_code == 0, result.stderr
    assert len(np.load(tmp_path / "out/np_img.npy")) == 2
    assert len(np.load(tmp_path / "out/np_text.npy")) == 3


def test_a_folder_of_pictures_with_their_texts_is_pairs_too(call: Call, ernie: Path, tmp_path: Path) -> None:
    save_pictures(tmp_path / "pictures", 2)
    for name in ("00", "01"):
        (tmp_path / "pictures" / f"{name}.txt").write_text("猫", encoding="utf-8")
    words = ["embed", tmp_path / "pictures", "-m", ernie, "-o", tmp_path / "out", "--format", "original"]
    assert call(*words).exit_code == 0
    (tmp_path / "pictures/01.txt").unlink()
    refused = call(*words, "--overwrite")
    assert refused.exit_code == 4
    assert "01.png has no partner" in refused.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-m", "{ernie}", "--half"], 2, "leave out --half and --what"),
        (["-m", "{ernie}", "--what", "text"], 2, "leave out --half and --what"),
        (["-m", "{model}"], 2, "chinese-clip has no vector files of its own here, only ernie-vil2, brivl"),
        (
            ["-m", "{ernie}", "--pictures", "elsewhere"],
            4,
            "no row can be used, all 1 are bad: example.jsonl:1: its picture",
        ),
    ],
)
def test_what_cannot_be_written_is_said_at_once(
    words: list[str], code: int, said: str, call: Call, ernie: Path, model: Path, tmp_path: Path
) -> None:
    rows(tmp_path / "data", 1)
    told = [word.format(ernie=ernie, model=model) for word in words]
    result = call("embed", tmp_path / "data", "-o", tmp_path / "out", "--format", "original", *told)
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert not (tmp_path / "out").exists()
