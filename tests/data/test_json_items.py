"""Items of large JSON files: found where they lie, whatever blocks the file is read in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.data import json_items
from tuwen.data.json_items import items, items_at
from tuwen.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(
    rows=st.lists(VALUES, max_size=8),
    before=VALUES,
    block=st.integers(1, 9),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
    mark=st.booleans(),
)
def test_every_item_is_found_and_found_again(
    rows: list[Any],
    before: Any,
    block: int,
    ascii_only: bool,
    indent: int | None,
    mark: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("json") / "rows.json"
    text = json.dumps({"info": before, "rows": rows, "after": [1]}, ensure_ascii=ascii_only, indent=indent)
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode("utf-8", "surrogatepass"))
    size, json_items.BLOCK = json_items.BLOCK, block
    try:
        found = list(items(path, "rows"))
    finally:
        json_items.BLOCK = size
    assert [item.value for item in found] == rows
    assert [item.number for item in found] == list(range(len(rows)))
    assert items_at(path, [(item.offset, item.length) for item in found]) == rows


def test_a_file_may_be_a_list_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(' [ {"a": "é"} , 12 ]')
    assert [(item.value, item.offset, item.length) for item in items(path)] == [({"a": "é"}, 3, 11), (12, 17, 2)]


@pytest.mark.parametrize("cut", range(2, 44, 3))
def test_a_file_that_is_cut_off_says_so_after_its_whole_items(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    text = json.dumps({"rows": [{"a": "één"}, {"a": "zwei"}, 123456]}, ensure_ascii=False)
    path.write_bytes(text.encode()[:-cut])
    found = []
    with pytest.raises(InputError, match=r"rows\.json is (cut off|not UTF-8)"):
        found += list(items(path, "rows"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"rows": [1, x, ' + "2, " * 50 + "3]}", r"not JSON as expected at byte 13, after 1 items"),
        ('{"rows": {"a": 1}}', r"expected '\['"),
        ('{"other": [1, 2]}', r'no list named "rows"'),
        ("[1, 2]", r"expected '\{'"),
        ("", "the file ends"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        list(items(path, "rows"))


def test_a_file_that_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[1000, 2000]")
    first, _ = items(path)
    path.write_text('["x", "y", "z"]')
    with pytest.raises(InputError, match="has changed since it was opened"):
        items_at(path, [(first.offset, first.length)])
    with pytest.raises(InputError, match="cannot be read"):
        list(items(tmp_path / "none.json"))
