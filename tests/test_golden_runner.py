"""The runner of the golden cases: every case is found, every number compared, nothing passed over in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.golden import test_golden
from tests.golden.case import Case, Expected, find_cases, kind_of, read_case, same_files
from tests.golden.test_golden import KEPT, here, there

FAMILY = KEPT / "chinese_clip"


def run(case: Case) -> None:
    test_golden.test_the_numbers_are_the_originals(case)


def skipped(parameter: Any) -> str | None:
    """Why a parameter is not run, or None if it is."""
    return next((mark.kwargs["reason"] for mark in parameter.marks if mark.name == "skip"), None)


def copied(tmp_path: Path, name: str) -> Path:
    return Path(shutil.copytree(FAMILY / name, tmp_path / "chinese_clip" / name))


def described(folder: Path, **settings: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def test_a_folder_of_families_a_family_and_a_case_are_all_searched() -> None:
    names = {str(case) for case in find_cases(KEPT)}
    assert "chinese_clip/vit_b16_module_optimizer" in names
    own = {name for name in names if name.startswith("chinese_clip/")}
    assert {str(case) for case in find_cases(FAMILY)} == own < names
    assert [str(case) for case in find_cases(FAMILY / "tokenize")] == ["chinese_clip/tokenize"]


def test_every_kept_case_is_run() -> None:
    ran = {parameter.id for parameter in here() if skipped(parameter) is None}
    assert {str(case) for case in find_cases(KEPT)} <= ran


def test_a_kind_is_known_by_its_description_and_not_by_the_name_of_its_folder(tmp_path: Path) -> None:
    shutil.copytree(FAMILY / "tokenize", tmp_path / "somewhere" / "model_17")
    (found,) = there(tmp_path)
    assert found.id == "chinese_clip/model_17"
    run(*found.values)


def test_a_case_without_a_kind_is_about_its_tasks() -> None:
    assert kind_of({"kind": "hf", "task": "features"}) == "hf"
    assert kind_of({"task": "vcr batch", "format": "several"}) == "vcr batch"
    assert kind_of({"task": ["mlm", "itm"]}) == "mlm+itm"
    assert kind_of({"family": "vle"}) == ""


def test_a_kind_without_a_check_is_skipped_with_its_reason(tmp_path: Path) -> None:
    described(tmp_path / "a", family="chinese_clip", kind="horoscope")
    described(tmp_path / "b", family="newcomer", kind="model")
    described(tmp_path / "c", family="newcomer")
    reasons = [skipped(parameter) for parameter in there(tmp_path)]
    assert reasons == [
        "no test handles kind horoscope of chinese_clip yet",
        "no test handles kind model of newcomer yet",
        "no test handles kind without a name of newcomer yet",
    ]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_case_that_cannot_be_read_fails(tmp_path: Path, content: str | None) -> None:
    folder = copied(tmp_path, "tokenize")
    (folder / "case.json").unlink()
    if content is not None:
        (folder / "case.json").write_text(content, encoding="utf-8")
    (found,) = there(tmp_path)
    assert skipped(found) is None
    with pytest.raises(AssertionError, match=r"case\.json"):
        run(*found.values)


@pytest.mark.parametrize("missing", ["expected.safetensors", "expected.json", "vocab.txt"])
def test_a_known_kind_that_cannot_be_run_fails(tmp_path: Path, missing: str) -> None:
    folder = copied(tmp_path, "tokenize")
    (folder / missing).unlink()
    with pytest.raises(Exception, match=missing):
        run(read_case(folder))


def test_a_number_that_nothing_checks_fails(tmp_path: Path) -> None:
    folder = copied(tmp_path, "tokenize")
    save_file(load_file(folder / "expected.safetensors") | {"new.ids": torch.zeros(2)}, folder / "expected.safetensors")
    with pytest.raises(AssertionError, match=r"nothing checks new\.ids"):
        run(read_case(folder))


def test_a_case_may_have_numbers_of_one_sort_but_not_of_none(tmp_path: Path) -> None:
    folder = described(tmp_path / "a", family="vle", task="model", tolerance={"atol": 0, "rtol": 0})
    with pytest.raises(AssertionError, match=r"neither expected\.safetensors nor expected\.json"):
        Expected(read_case(folder))
    (folder / "expected.json").write_text('{"answers": [{"score": 0.5, "text": "yes"}]}', encoding="utf-8")
    expected = Expected(read_case(folder))
    with pytest.raises(AssertionError, match=r"expected\.safetensors has no logits among its 0 entries"):
        expected.tensor("logits")
    expected.close_value("answers", [{"score": 0.5, "text": "yes"}])
    expected.finish()


def test_plain_data_is_compared_number_by_number(tmp_path: Path) -> None:
    folder = described(tmp_path / "a", family="vle", task="vqa", tolerance={"atol": 0.01, "rtol": 0})
    (folder / "expected.json").write_text('{"found": [{"score": 0.5, "text": "yes", "row": 3}]}', encoding="utf-8")
    for ours, differences in (
        ([{"score": 0.505, "text": "yes", "row": 3}], 0),
        ([{"score": 0.52, "text": "yes", "row": 3}], 1),
        ([{"score": 0.52, "text": "no", "row": 4}], 3),
        ([{"score": 0.5, "text": "yes"}], 1),
        ([], 1),
    ):
        expected = Expected(read_case(folder))
        expected.close_value("found", ours)
        assert len(expected.differences) == differences


def test_every_wrong_number_is_named(tmp_path: Path) -> None:
    folder = copied(tmp_path, "tokenize")
    tensors = load_file(folder / "expected.safetensors")
    for key in ("ids.8", "dataset_ids"):
        tensors[key][0, 1] += 1
    save_file(tensors, folder / "expected.safetensors")
    with pytest.raises(AssertionError) as caught:
        run(read_case(folder))
    assert all(f"{key}: " in str(caught.value) for key in ("ids.8", "dataset_ids"))
    assert "ids.24" not in str(caught.value)


def test_tolerances_are_the_cases_own(tmp_path: Path) -> None:
    case = read_case(copied(tmp_path, "functions"))
    for wrong, count in ((0.5, 0), (3.0, 1)):
        expected = Expected(case)
        expected.close("kd.0.loss", expected.tensor("kd.0.loss") * (1 + wrong * 1e-4))
        assert len(expected.differences) == count


def test_a_folder_without_cases_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(pytest.UsageError, match="holds no case"):
            there(folder)


def test_equal_cases_are_known_by_their_bytes(tmp_path: Path) -> None:
    folder = copied(tmp_path, "tokenize")
    assert same_files(folder, FAMILY / "tokenize")
    (folder / "vocab.txt").write_text("[PAD]\n", encoding="utf-8")
    assert not same_files(folder, FAMILY / "tokenize")
