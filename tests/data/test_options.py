"""What tells that the files of a dataset have changed since a run was stopped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import official
from tests.datasets import save_split
from tuwen.data import building, formats, growing, options, vqav2
from tuwen.data.options import Writing, about, stamp
from tuwen.errors import InputError


class Stop(BaseException):
    pass


def changed(path: Path) -> None:
    """Another time, all else equal."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize("name", ["a.json", "one/a.json", "one/two/a.json", "one/two/three/a.json", "a.jpg"])
def test_a_file_that_changed_changes_the_stamp(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", encoding="utf-8")
    before = stamp(tmp_path)
    assert stamp(tmp_path) == before
    changed(path)
    again = stamp(tmp_path)
    assert again != before
    path.rename(path.with_name("b.json"))
    assert stamp(tmp_path) not in (before, again)


@pytest.mark.parametrize("name", [".hidden/a.json", "one/.a.json.part", "one/a.JPG", "lock.mdb", "1/2/3/4/a.json"])
def test_unfinished_files_pictures_below_and_what_is_too_deep_do_not_count(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    before = stamp(tmp_path)
    path.write_text("{}", encoding="utf-8")
    assert stamp(tmp_path) == before
    assert stamp(tmp_path / "nothing") == stamp(tmp_path / "nothing")


def test_one_file_is_stamped_alone(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    before = stamp(tmp_path / "a.json")
    changed(tmp_path / "b.json")
    assert stamp(tmp_path / "a.json") == before
    changed(tmp_path / "a.json")
    assert stamp(tmp_path / "a.json") != before


def test_upper_folders_come_first_where_there_are_too_many_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/deep/x.json", "b/y.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}", encoding="utf-8")
    monkeypatch.setattr(options, "ENTRIES", 3)  # a, b, a/deep, b/y.json
    before = stamp(tmp_path)
    changed(tmp_path / "a/deep/x.json")
    assert stamp(tmp_path) == before
    changed(tmp_path / "b/y.json")
    assert stamp(tmp_path) != before


def test_a_conversion_begins_anew_where_a_file_in_a_subfolder_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "SECONDS", 0.0)
    source = formats.open_dataset(save_split(tmp_path / "raw", count=4))
    formats.write(source, tmp_path / "brivl", "brivl")

    def stopping(left: int) -> Writing:
        def advance(count: int) -> None:
            nonlocal left
            left -= count
            if left < 0:
                raise Stop

        return Writing(advance=advance)

    for change, done in ((False, True), (True, False)):
        dataset = formats.open_dataset(tmp_path / "brivl")
        assert about(dataset)["source"] == str(tmp_path / "brivl")
        with pytest.raises(Stop):
            formats.write(dataset, tmp_path / "out" / str(change), "chinese-clip", writing=stopping(3))
        if change:
            changed(tmp_path / "brivl" / "jsonls" / "train.jsonl")
        found: list[tuple[int, int]] = []
        writing = Writing(expect=lambda *both, found=found: found.append(both))
        formats.write(
            formats.open_dataset(tmp_path / "brivl"), tmp_path / "out" / str(change), "chinese-clip", writing=writing
        )
        assert (found[0][1] > 0) is done


@pytest.mark.parametrize("inside", ["../made", "made", "."])
def test_tables_of_annotations_that_have_changed_are_not_taken_for_finished(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = official.some_vqa(tmp_path / "raw")
    (raw / "vqav2").mkdir()
    for file in raw.glob("*.json"):
        file.rename(raw / "vqav2" / file.name)
    made = raw / inside
    read = vqav2.read

    def stopping(path: Path, split: str, *given: object) -> object:
        if split == "val":
            raise Stop
        return read(path, split, *given)  # type: ignore[arg-type]

    for _ in range(2):  # the second finds the first table finished
        with monkeypatch.context() as patched, pytest.raises(Stop):
            patched.setattr(vqav2, "read", stopping)
            building.build("vqa", raw, made)
    changed(raw / "vqav2" / "v2_mscoco_train2014_annotations.json")
    with pytest.raises(InputError, match=r"vqav2_train.arrow is there already"):
        building.build("vqa", raw, made)
    assert building.build("vqa", raw, made, writing=Writing(overwrite=True)).tables["vqav2_train.arrow"] == 5
