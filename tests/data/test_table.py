"""Tables that people bring along: what is read, and how a bad row is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuwen.data.table import read_table
from tuwen.errors import InputError


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding, newline="")
    return path


def values(path: Path) -> list[tuple[int, dict[str, str]]]:
    return [(line.number, line.values) for line in read_table(path, ("image", "caption")).lines]


def test_three_forms_hold_the_same_table(tmp_path: Path) -> None:
    expected = [(2, {"image": "a.png", "caption": "一只猫, 坐着"}), (3, {"image": "b.png", "caption": "a dog"})]
    comma = write(tmp_path / "a.csv", 'image,caption\r\na.png,"一只猫, 坐着"\r\nb.png, a dog \r\n', "utf-8-sig")
    tab = write(tmp_path / "a.tsv", "image\tcaption\textra\na.png\t一只猫, 坐着\t1\nb.png\ta dog\t\n")
    lines = '\n{"image": "a.png", "caption": "一只猫, 坐着"}\n{"caption": "a dog", "image": "b.png", "x": 1}\n'
    assert values(comma) == values(tab) == values(write(tmp_path / "a.jsonl", lines)) == expected


def test_a_bad_row_is_named_with_its_line_and_the_others_are_read(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", "image,caption\na.png\nb.png,\nc.png,x\n"), ("image", "caption"))
    assert [line.values["image"] for line in table.lines] == ["c.png"]
    assert [(failure.id, failure.reason) for failure in table.failures] == [
        ("a.csv:2", "it has 1 columns, the first line has 2"),
        ("a.csv:3", "its caption is empty"),
    ]
    bad = '{"image": "a"}\n[1]\n{"image": \n{"image": "a", "caption": 3}\n{"image": "a", "caption": "x"}\n'
    table = read_table(write(tmp_path / "a.jsonl", bad), ("image", "caption"))
    assert [failure.id for failure in table.failures] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3", "a.jsonl:4"]
    assert len(table.lines) == 1


def test_an_optional_column_may_be_missing_or_empty(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", "question,image\nwhat?,\n"), ("question",), ("image", "id"))
    assert table.columns == ["question", "image"]
    assert table.lines[0].values == {"question": "what?", "image": ""}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "image,text\na,b\n", "no column caption: it has image, text"),
        ("a.csv", "", "no column image and no column caption: it has no rows"),
        ("a.xlsx", "", "must end in .csv, .tsv, .jsonl"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_sentence(name: str, content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(InputError, match=said):
        read_table(tmp_path / name, ("image", "caption"))


def test_another_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        read_table(write(tmp_path / "a.csv", "image,caption\na.png,一只小狗\n", "gb18030"), ("image", "caption"))
