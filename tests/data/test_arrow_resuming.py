"""Arrow tables that are stopped in the middle: the next run goes on, and gives the same file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import official
from tests.datasets import files_of, save_split
from tuwen.data import arrow_table, building, formats, growing, vqav2
from tuwen.data.dataset import Dataset
from tuwen.data.options import Writing
from tuwen.errors import InputError


class Stopping(Mapping[str, Any]):
    """Pictures, until so many have been read."""

    def __init__(self, pictures: Mapping[str, Any], left: int) -> None:
        self.pictures, self.left = pictures, left

    def __getitem__(self, id: str) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.pictures[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self.pictures)

    def __len__(self) -> int:
        return len(self.pictures)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_table, "ROWS_PER_BATCH", 2)
    monkeypatch.setattr(growing, "SECONDS", 0.0)


@pytest.mark.parametrize("form", ["arrow", "paddlenlp"])
@pytest.mark.parametrize("after", [0, 1, 5, 9, 13, 20])
def test_a_stopped_table_goes_on(form: str, after: int, tmp_path: Path) -> None:
    source = save_split(tmp_path / "raw", count=9)
    wanted, made = tmp_path / "whole", tmp_path / "made"
    formats.write(formats.open_dataset(source), wanted, form, "train" if form == "arrow" else "valid")
    dataset = formats.open_dataset(source)
    pictures = dataset.pictures
    dataset.pictures = Stopping(pictures, after)
    stopped = False
    try:
        formats.write(dataset, made, form, "train" if form == "arrow" else "valid")
    except KeyboardInterrupt:
        stopped = True
        assert not list(made.glob("[!.]*"))
    assert stopped or after >= (9 if form == "arrow" else 22)
    counted: list[int] = []
    if stopped:
        writing = Writing(expect=lambda total, done: counted.append(done))
        formats.write(
            formats.open_dataset(source), made, form, "train" if form == "arrow" else "valid", writing=writing
        )
        assert counted[0] > 0 or after < 3
    assert files_of(made) == files_of(wanted)


@pytest.mark.parametrize("after", [1, 4, 6, 7])
def test_a_stopped_tool_goes_on_with_the_table_it_was_at(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = official.some_vqa(tmp_path / "raw")
    building.build("vqa", raw, tmp_path / "whole")
    opened = vqav2.read

    def stopping(left: list[int]) -> Callable[..., tuple[Dataset, Any]]:
        def read(*given: Any) -> tuple[Dataset, Any]:
            dataset, counts = opened(*given)
            known = dataset.pictures

            class Counted(Stopping):
                def __getitem__(self, id: str) -> Any:
                    left[0] -= 1
                    if left[0] < 0:
                        raise KeyboardInterrupt
                    return known[id]

            dataset.pictures = Counted(known, 0)
            return dataset, counts

        return read

    monkeypatch.setattr(vqav2, "read", stopping([after]))
    with pytest.raises(KeyboardInterrupt):
        building.build("vqa", raw, tmp_path / "made")
    monkeypatch.setattr(vqav2, "read", opened)
    built = building.build("vqa", raw, tmp_path / "made")
    assert files_of(tmp_path / "made") == files_of(tmp_path / "whole")
    assert built.tables["vqav2_train.arrow"] == 5
    assert not list((tmp_path / "made").glob(".*"))


def test_a_note_of_another_run_is_not_taken_up(tmp_path: Path) -> None:
    raw = official.save_nlvr2(tmp_path / "raw")
    made = tmp_path / "made"
    made.mkdir()
    (made / ".build-nlvr2.json").write_text(
        json.dumps({"about": {"kind": "other"}, "done": {"nlvr2_dev.arrow": [9, []]}})
    )
    assert building.build("nlvr2", raw, made).tables["nlvr2_dev.arrow"] == 2


def test_a_full_disk_is_an_error_that_the_next_run_gets_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = formats.open_dataset(save_split(tmp_path / "raw"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(InputError, match=r"cannot write .*No space left"):
        patch.setattr(arrow_table, "write_file", full)
        formats.write(source, tmp_path / "made", "arrow")
    assert not list((tmp_path / "made").glob("[!.]*"))
    formats.write(source, tmp_path / "made", "arrow")
    assert files_of(tmp_path / "made").keys() == {"train.arrow"}
