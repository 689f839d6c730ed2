"""Rows of ERNIE-ViL 2.0's data file: the original's reading rule, and what is said about bad ones."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tuwen.data.ernie_tsv import decoded, fields, looks_like, picture_at, read, rows
from tuwen.data.folder import Failure
from tuwen.errors import InputError

JPEG = b"\xff\xd8\xff\xe0 and so on"
PICTURE = base64.b64encode(JPEG).decode()


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "test.coco.data"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("一只猫\t1\tQUJD\n", ("一只猫", "1", "QUJD")),
        ("的\t4\textra\tSktM\n", ("的", "4", "SktM")),
        ("  照片\t3\tR0hJ \u3000\n", ("照片", "3", "R0hJ")),
        ("\t7\tQUJD", ("7", "", "QUJD")),  # an empty text: the columns move up
        ("照片\tR0hJ", ("照片", "", "R0hJ")),
        ("照片", ("照片", "", "照片")),
        ("\n", ("", "", "")),
        ("a\t \tb\t\u2028\n", ("a", " ", "b")),
    ],
)
def test_the_first_column_is_the_text_and_the_last_the_picture(line: str, found: tuple[str, str, str]) -> None:
    assert fields(line) == found


@pytest.mark.parametrize("content", [b"a\tb\nc\n\nd", b"a\tb\r\nc\r\n\r\nd\r\n", b"a\tb\rc\r\rd\r"])
def test_lines_end_as_in_a_text_file_and_begin_where_their_offset_says(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    found = list(rows(path))
    with path.open(encoding="utf-8") as file:
        assert [(row.text, row.picture) for row in found] == [(fields(line)[0], fields(line)[2]) for line in file]
    assert [row.number for row in found] == [1, 2, 3, 4]
    assert [content[row.offset :][:1] for row in found][::3] == [b"a", b"d"]


def test_good_rows_become_samples_and_bad_ones_are_named_with_file_and_line(tmp_path: Path) -> None:
    lines = [f"一只猫\tc1\t{PICTURE}", "狗\td1\tA", "", "只有文字", f"鸟\t{PICTURE}", "鱼\tf1\t????"]
    failures: list[Failure] = []
    samples = list(read(written(tmp_path, "\n".join(lines)), failures.append))
    assert [(sample.text, sample.image_id, sample.image) for sample in samples] == [
        ("一只猫", "c1", JPEG),
        ("鸟", "test.coco.data:5", JPEG),
    ]
    assert [failure.id for failure in failures] == [f"test.coco.data:{line}" for line in (2, 3, 4, 6)]
    assert [reason.split(" (")[0] for reason in (failure.reason for failure in failures)] == [
        "its last column is not base64",
        "the line is empty",
        "it has no tab: expected text, id and picture with tabs between them",
        "its last column holds no picture",
    ]


def test_one_row_is_in_memory_at_a_time(tmp_path: Path) -> None:
    path = written(tmp_path, f"猫\t1\t{PICTURE}\n" + "狗\t2\t?\n" * 3)
    failures: list[Failure] = []
    samples = read(path, failures.append)
    next(samples)
    assert not failures


def test_a_picture_is_found_again_by_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, f"猫\t1\tQUJD\r狗\t2\t{PICTURE}\n")
    assert [picture_at(path, row.offset) for row in rows(path)] == [b"ABC", JPEG]


def test_a_file_that_changed_since_gives_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "short\n")
    with pytest.raises(InputError, match="no tab"):
        picture_at(path, 0)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        picture_at(path, 0)


@pytest.mark.parametrize(
    ("content", "said"), [("", "is empty"), ("照片\t1\tQUJD\n".encode("gb18030"), "line 1 is not UTF-8")]
)
def test_a_file_that_cannot_be_read_is_an_error(content: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        list(read(written(tmp_path, content), lambda failure: None))


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (f"猫\t1\t{PICTURE}\n", True),
        (f"\n坏\t1\t?\n猫\t1\t{PICTURE}\n", True),
        (f"1\t{PICTURE}\n", False),  # Chinese-CLIP's id and picture
        ("a\tb\tc\n1\t2\t3\n", False),
        ("", False),
        (b"\xff\xfe\t1\t1", False),
    ],
)
def test_it_is_told_by_three_columns_with_a_picture_in_the_last(
    content: str | bytes, is_one: bool, tmp_path: Path
) -> None:
    assert looks_like(written(tmp_path, content)) is is_one


def test_letters_that_base64_does_not_have_are_passed_over(tmp_path: Path) -> None:
    (row,) = rows(written(tmp_path, f"猫\t1\t{PICTURE[:4]}!{PICTURE[4:]}"))
    assert decoded(row) == JPEG
