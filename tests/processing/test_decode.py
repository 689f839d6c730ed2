"""Every kind of picture in, or one sentence that names the file."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from tests.processing.pictures import empty_png, encoded, noise, smooth
from tuwen.errors import InputError, UsageError
from tuwen.processing import decode as decode_module
from tuwen.processing.decode import decode, decode_array, size_of

FORMATS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO", "JPEG2000", "TGA"]
JPEGS: dict[str, dict[str, Any]] = {
    "baseline 4:2:0": {"subsampling": 2},
    "baseline 4:2:2": {"subsampling": 1},
    "baseline 4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True, "subsampling": 2},
    "restart markers": {"restart_marker_blocks": 2},
    "RGB inside": {"keep_rgb": True},
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_path_bytes_and_a_pillow_picture_give_the_same(kind: str, tmp_path: Path) -> None:
    content = encoded(Image.fromarray(noise(16, 16)), kind)
    path = tmp_path / "picture"
    path.write_bytes(content)
    with Image.open(path) as opened:
        pictures = [decode(path), decode(str(path)), decode(content), decode(opened)]
        expected = np.array(opened)
    for picture in pictures:
        picture = picture.copy()  # the file is closed by now: nothing may be left unread
        assert np.array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize(("name", "options"), JPEGS.items(), ids=list(JPEGS))
def test_the_fast_road_for_jpeg_is_pillow_bit_for_bit(name: str, options: dict[str, Any]) -> None:
    for (width, height), quality in product([(1, 1), (1, 37), (37, 1), (16, 16), (101, 67)], [30, 95]):
        content = encoded(smooth(width, height), "JPEG", quality=quality, **options)
        array = decode_array(content)
        assert array is not None
        assert np.array_equal(array, np.asarray(decode(content)))
    grey = encoded(smooth(33, 21).convert("L"), "JPEG", progressive=bool(options.get("progressive")))
    array = decode_array(grey)
    assert array is not None and array.shape == (21, 33, 1)
    assert np.array_equal(array[..., 0], np.asarray(decode(grey)))


def test_the_fast_road_leaves_the_rest_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = smooth(40, 30)
    jpeg = encoded(picture, "JPEG")
    others: list[Any] = [
        encoded(picture, "PNG"),
        encoded(picture.convert("CMYK"), "JPEG"),
        jpeg[:-30],
        jpeg[:200],
        picture,
        noise(4, 4),
    ]
    assert [decode_array(other) for other in others] == [None] * len(others)
    monkeypatch.setattr(decode_module, "simplejpeg", None)
    assert decode_array(jpeg) is None


def test_the_first_frame_counts() -> None:
    frames = [Image.fromarray(noise(12, 9, seed=seed)).quantize(16) for seed in range(3)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.array_equal(np.asarray(decode(content).convert("RGB")), np.asarray(frames[0].convert("RGB")))


def test_the_orientation_in_the_file_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    content = encoded(smooth(20, 10), "JPEG", exif=exif)
    array = decode_array(content)
    assert decode(content).size == (20, 10)
    assert array is not None and array.shape == (10, 20, 3)


def test_too_many_pixels_are_refused_from_the_header_without_a_warning() -> None:
    for decoder in (decode, decode_array):
        jpeg = encoded(smooth(40, 30), "JPEG")
        with pytest.raises(InputError, match="40 x 30 = 1200 pixels, at most 1199"):
            decoder(jpeg, max_pixels=1199)
        assert decoder(jpeg, max_pixels=1200) is not None
    with pytest.raises(InputError, match="100000 x 100000"):
        decode(empty_png(100_000, 100_000))
    with pytest.raises(InputError, match="at most 10"):
        decode(noise(4, 4), max_pixels=10)
    # Pillow warns from 89 million pixels on; here only the limit speaks.
    assert decode_module._identify(io.BytesIO(empty_png(12_000, 10_000))) is not None


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_named(kind: str, tmp_path: Path) -> None:
    draw = Random(kind)
    content = encoded(Image.fromarray(noise(16, 16)), kind)
    path = tmp_path / "broken.bin"
    failed = 0
    for _ in range(25):
        damaged = bytearray(content[: draw.randrange(1, len(content))])
        damaged[draw.randrange(min(len(damaged), 60))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            decode(path)
        except InputError as error:
            failed += 1
            assert str(path) in str(error)
    assert failed > 10


def not_there(path: Path) -> None:
    pass


def a_folder(path: Path) -> None:
    path.mkdir()


def nothing_in_it(path: Path) -> None:
    path.touch()


def a_web_page(path: Path) -> None:
    path.write_text("<html><body>404</body></html>")


def a_cut_picture(path: Path) -> None:
    path.write_bytes(encoded(smooth(64, 64), "JPEG")[:-200])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (not_there, "does not exist"),
        (a_folder, "is not a file"),
        (nothing_in_it, "is empty"),
        (a_web_page, "is not a picture in a known format"),
        (a_cut_picture, "is damaged or cut short"),
    ],
)
def test_each_bad_file_has_its_sentence(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    make(path)
    for decoder in (decode, decode_array):
        if decoder is decode or message in ("does not exist", "is not a file", "is empty"):
            with pytest.raises(InputError, match=rf"bad\.jpg {message}"):
                decoder(path)


def test_a_name_that_is_given_is_the_one_in_the_error() -> None:
    with pytest.raises(InputError, match=r"^picture 3 of 10 \(bytes\) is empty"):
        decode(b"", name="picture 3 of 10 (bytes)")


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8)]
)
def test_arrays_are_uint8_of_one_or_three_channels(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InputError, match=r"expected uint8 \(height, width, 3\)"):
        decode(array)


def test_other_things_are_no_pictures() -> None:
    with pytest.raises(UsageError, match="a picture is float"):
        decode(3.5)  # type: ignore[arg-type]


def test_no_other_program_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_: pytest.fail("looked for a program"))
    with pytest.raises(InputError, match="not a picture in a known format"):
        decode(encoded(smooth(16, 16), "EPS"))


def test_one_lazily_opened_picture_may_be_decoded_by_many_threads() -> None:
    content = encoded(smooth(300, 200), "PNG")
    for _ in range(5):
        with Image.open(io.BytesIO(content)) as picture, ThreadPoolExecutor(8) as pool:
            decoded = list(pool.map(lambda _, same=picture: np.array(decode(same)), range(8)))
        assert all(np.array_equal(one, decoded[0]) for one in decoded)


@pytest.mark.parametrize(("width", "height"), [(20, 9), (20, 3), (20, 1), (4, 3)])
def test_channels_may_come_first_in_arrays_and_tensors(width: int, height: int) -> None:
    rows = noise(width, height)
    first = np.ascontiguousarray(rows.transpose(2, 0, 1))
    for array in (rows, first, torch.from_numpy(rows), torch.from_numpy(first)):
        assert np.array_equal(np.asarray(decode(array)), rows)
    grey = rows[..., 0]
    for array in (grey, grey[None], grey[..., None], torch.from_numpy(grey.copy())):
        assert np.array_equal(np.asarray(decode(array)), grey)


def test_what_ends_in_three_channels_is_rows_first_whatever_it_begins_with() -> None:
    for rows in (noise(20, 3), noise(20, 1), noise(3, 3), noise(1, 3)):
        assert np.array_equal(np.asarray(decode(rows)), rows)


def test_a_tensor_that_cannot_become_an_array_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"page 3 cannot be read as an array: "):
        decode(torch.zeros(4, 4, 3, requires_grad=True), name="page 3")


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "BMP", "GIF"])
def test_the_part_of_a_truncated_file_is_what_pillow_makes_of_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"progressive": True} if kind == "progressive" else {}
    content = encoded(smooth(120, 90), "JPEG" if kind == "progressive" else kind, **options)
    for part in (len(content) // 2, len(content) - 5, len(content)):
        ours = decode(content[:part], truncated=True)
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        with Image.open(io.BytesIO(content[:part])) as theirs:
            assert np.array_equal(np.asarray(ours.convert("RGB")), np.asarray(theirs.convert("RGB")))
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
        if part < len(content) - 5:
            with pytest.raises(InputError, match="damaged or cut short"):
                decode(content[:part])


def test_nothing_is_made_of_a_file_without_pixels() -> None:
    for content in (b"", b"GIF", encoded(smooth(120, 90), "WEBP")[:200]):
        with pytest.raises(InputError):
            decode(content, truncated=True)


def test_the_size_is_told_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(empty_png(50, 30))  # it has no pixels
    array = noise(50, 30)
    for picture in (path, str(path), path.read_bytes(), array, torch.from_numpy(array), Image.fromarray(array)):
        assert size_of(picture) == (30, 50)
    with pytest.raises(InputError, match="page is not a picture"):
        size_of(b"<html>", "page")
