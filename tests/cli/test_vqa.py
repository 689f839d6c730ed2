"""`tuwen vqa`: a row for each picture and question, none of them twice, and what an LLM makes of them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow.parquet
import pytest
import torch

from tests.cli.conftest import Call
from tests.llm.server import Trouble, in_turn, serving
from tuwen.cli.language import warn_language
from tuwen.loading import load
from tuwen.tasks.answer import answer_rows

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "golden" / "cases" / "vle" / "vqa_base" / "checkpoint"  # of two layers


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("TUWEN_LLM_", "OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """(picture, its questions) for each that the model is asked about."""
    calls: list[tuple[str, list[str]]] = []

    def spy(model: Any, images: list[str], questions: list[str], top_k: int, wanted: Any, **more: Any) -> Iterator[Any]:
        for number, found in answer_rows(model, images, questions, top_k, wanted, **more):
            calls.append((Path(images[number]).name, [questions[place] for place in wanted(number)]))
            yield number, found

    monkeypatch.setattr("tuwen.tasks.answer.answer_rows", spy)
    return calls


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(pyarrow.parquet.read_table(path).to_pylist())
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [
            {**row, "probability": float(row["probability"]), "candidates": json.loads(row["candidates"])}
            for row in csv.DictReader(file)
        ]


def test_the_rows_are_the_answers_of_the_python_call(
    call: Call, pictures: Path, asked: list[tuple[str, list[str]]]
) -> None:
    result = call("vqa", pictures, "-m", MODEL, "-q", "what is it?", "-q", "who?", "-k", 2, "--json")
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert [(row["image"], row["question"]) for row in rows] == [
        (f"{number:02d}.png", text) for number in range(5) for text in ("what is it?", "who?")
    ]
    expected = load(MODEL).answer(pictures / "03.png", ["what is it?", "who?"], top_k=2)
    for row, answers in zip(rows[6:8], expected, strict=True):
        assert [candidate["text"] for candidate in row["candidates"]] == [answer.text for answer in answers]
        assert (row["answer"], row["probability"]) == (answers[0].text, pytest.approx(answers[0].probability, abs=1e-5))
    assert asked[:5] == [(f"{number:02d}.png", ["what is it?", "who?"]) for number in range(5)]


def test_weights_without_answers_take_them_from_a_file(call: Call, pictures: Path, tmp_path: Path) -> None:
    folder = MODEL.parents[2] / "bridgetower" / "orig_vqa" / "checkpoint"
    model = next(folder.glob("*.ckpt"))
    asked = ("vqa", pictures, "-q", "what is it?", "-m", model, "--tokenizer", folder / "roberta", "--json")
    refused = call(*asked)
    assert refused.exit_code == 2 and "answers=" in refused.stderr
    table = tmp_path / "answer2label.json"
    table.write_text(json.dumps({"yes": 0, "no": 1, "red": 2, "cat": 3, "two": 4, "left": 5}), encoding="utf-8")
    result = call(*asked, "--answers", table)
    assert result.exit_code == 0, result.stderr
    loaded = load(model, tokenizer=folder / "roberta", answers=table)
    first = json.loads(result.stdout)["rows"][0]
    best = loaded.answer(pictures / first["image"], "what is it?")[0][0]
    assert (first["answer"], first["probability"]) == (best.text, pytest.approx(best.probability, abs=1e-5))


def test_one_picture_may_be_asked(call: Call, pictures: Path) -> None:
    result = call("vqa", pictures / "01.png", "-m", MODEL, "-q", "what?")
    assert result.exit_code == 0, result.stderr
    assert "01.png" in result.stdout and "%" in result.stdout
    assert "00.png" not in result.stdout


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_rows_of_every_format_are_the_same(ending: str, call: Call, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / f"out.{ending}"
    assert call("vqa", pictures, "-m", MODEL, "-q", "这是什么？", "-o", output).exit_code == 0
    expected = json.loads(call("vqa", pictures, "-m", MODEL, "-q", "这是什么？", "--json").stdout)["rows"]
    assert rows_of(output) == expected


def test_a_table_says_which_picture_is_asked_what(call: Call, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "questions.csv"
    table.write_text("image,question\n01.png,who?\n,what?\n99.png,where?\n00.png,\n", encoding="utf-8")
    result = call("vqa", pictures, "-m", MODEL, "--questions", table, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [(row["image"], row["question"]) for row in found["rows"]][:3] == [
        ("00.png", "what?"),
        ("01.png", "who?"),
        ("01.png", "what?"),
    ]
    assert [failure["id"] for failure in found["failures"]] == ["questions.csv:5", "questions.csv:4"]
    assert "there is no picture 99.png" in result.stderr


def test_a_truncated_picture_is_named_and_the_others_are_asked(call: Call, pictures: Path, truncated: Path) -> None:
    result = call("vqa", pictures, "-m", MODEL, "-q", "what?", "--json")
    assert result.exit_code == 1
    assert "02b.png" in result.stderr
    assert len(json.loads(result.stdout)["rows"]) == 5
    assert call("vqa", pictures, "-m", MODEL, "-q", "what?", "--on-error", "fail").exit_code == 4


def test_nothing_is_asked_twice(call: Call, pictures: Path, tmp_path: Path, asked: list[tuple[str, list[str]]]) -> None:
    output = tmp_path / "out.csv"
    call("vqa", pictures, "-m", MODEL, "-q", "what?", "-o", output)
    first = output.read_bytes()
    asked.clear()
    result = call("vqa", pictures, "-m", MODEL, "-q", "what?", "-o", output)
    assert "up to date" in result.stderr
    assert not asked
    assert output.read_bytes() == first
    os.utime(pictures / "03.png", ns=(1, 1))
    call("vqa", pictures, "-m", MODEL, "-q", "what?", "-q", "who?", "-o", output)
    assert asked == [(f"{number:02d}.png", ["what?", "who?"] if number == 3 else ["who?"]) for number in range(5)]
    fresh = tmp_path / "fresh.csv"
    call("vqa", pictures, "-m", MODEL, "-q", "what?", "-q", "who?", "-o", fresh)
    assert output.read_bytes() == fresh.read_bytes()


def test_a_run_that_stopped_goes_on_where_it_was(
    call: Call, pictures: Path, truncated: Path, tmp_path: Path, asked: list[tuple[str, list[str]]]
) -> None:
    output = tmp_path / "out.csv"
    stopped = call("vqa", pictures, "-m", MODEL, "-q", "what?", "-o", output, "--on-error", "fail")
    assert stopped.exit_code == 4
    assert not output.exists()
    truncated.unlink()
    asked.clear()
    assert call("vqa", pictures, "-m", MODEL, "-q", "what?", "-o", output).exit_code == 0
    assert [name for name, _ in asked] == ["03.png", "04.png"]
    assert len(rows_of(output)) == 5


def test_answers_of_two_models_never_mix(call: Call, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    call("vqa", pictures, "-m", MODEL, "-q", "what?", "-o", output)
    before = output.read_bytes()
    shutil.copytree(MODEL, tmp_path / "other")
    weights = torch.load(tmp_path / "other" / "pytorch_model.bin", weights_only=True)
    next(iter(weights.values())).add_(1)
    torch.save(weights, tmp_path / "other" / "pytorch_model.bin")
    refused = call("vqa", pictures, "-m", tmp_path / "other", "-q", "what?", "-o", output)
    assert refused.exit_code == 4
    assert "model was" in refused.stderr and "--overwrite" in refused.stderr
    assert output.read_bytes() == before
    anew = call("vqa", pictures, "-m", tmp_path / "other", "-q", "what?", "-o", output, "--overwrite")
    assert anew.exit_code == 0, anew.stderr


def test_a_model_that_knows_no_chinese_says_so_once(call: Call, pictures: Path) -> None:
    result = call("vqa", pictures, "-m", MODEL, "-q", "what?", "-q", "这是什么？")
    assert result.stderr.count("knows en only, 1 text of 2 are Chinese") == 1
    assert "Chinese" not in call("vqa", pictures, "-m", MODEL, "-q", "what?").stderr


def test_a_model_that_knows_chinese_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    warn_language(cast(Any, SimpleNamespace(languages=("zh", "en"))), ["这是什么？"])
    assert not capsys.readouterr().err


def test_a_model_that_cannot_answer_names_those_that_can(call: Call, model: Path, pictures: Path) -> None:
    result = call("vqa", pictures, "-m", model, "-q", "what?")
    assert result.exit_code == 2
    assert "vle/base-vqa" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pictures"], 2, "nothing to ask"),
        (["pictures", "-q", " "], 2, "a question is empty"),
        (["pictures", "--questions", "missing.txt"], 4, "missing.txt cannot be read"),
        (["pictures", "-q", "what?", "-o", "out.xls"], 2, ".csv, .jsonl or .parquet"),
        (["missing", "-q", "what?"], 4, "does not exist"),
        (["bad", "-q", "what?", "-o", "out.csv"], 4, "no question could be answered"),
        (["pictures", "-q", "what?", "--llm"], 2, "no LLM endpoint is given"),
        (["pictures", "-q", "what?", "--llm", "--llm-url", "http://localhost:1"], 2, "no LLM is named"),
        (["pictures", "-q", "what?", "--llm", "--llm-url", "here", "--llm-model", "m"], 2, "such as http"),
        (
            ["pictures", "-q", "what?", *"--llm --llm-url http://a/v1 --llm-model m --captions some".split()],
            2,
            "vision",
        ),
        (
            ["pictures", "-q", "what?", *"--llm --llm-url http://a/v1 --llm-model m --captions a.csv".split()],
            4,
            "a.csv",
        ),
        (["pictures", "-q", "what?", *"--llm --llm-url http://a/v1 --llm-parameters []".split()], 2, "JSON object"),
        (
            [
                "pictures",
                "-q",
                "?",
                *"--llm --llm-url http://a --llm-model m --short-template a --llm-form long".split(),
            ],
            2,
            "goes with --llm-form short",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], code: int, said: str, call: Call, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    result = call("vqa", *words, "-m", MODEL, "--quiet")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


# -- with a language model --------------------------------------------------------------------------------------------


@pytest.fixture
def captions(pictures: Path, tmp_path: Path) -> Path:
    path = tmp_path / "captions.csv"
    lines = "".join(f"{picture.name},noise number {picture.stem}\n" for picture in sorted(pictures.glob("*.png")))
    path.write_text("image,caption\n" + lines, encoding="utf-8")
    return path


def llm(url: str, captions: Path, tmp_path: Path, *more: object) -> list[object]:
    words = ["-q", "what?", "--llm", "--llm-url", url, "--llm-model", "tiny", "--llm-key", "sk-secret"]
    return [*words, "--captions", captions, "--llm-cache", tmp_path / "cache", "--llm-retries", 0, *more]


def by_form(request: dict[str, Any]) -> str:
    return "B" if "letter" in request["messages"][0]["content"] else "No, it is noise."


def test_an_llm_gives_a_short_and_a_long_answer(call: Call, pictures: Path, captions: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with serving(by_form) as server:
        result = call("vqa", pictures, "-m", MODEL, *llm(server.url, captions, tmp_path), "-o", output)
        shown = call("vqa", pictures, "-m", MODEL, *llm(server.url, captions, tmp_path))
    assert result.exit_code == 0, result.stderr
    row = rows_of(output)[3]
    assert list(row)[5:] == ["caption", "short_answer", "long_answer", "llm"]
    assert (row["short_answer"], row["long_answer"]) == (row["candidates"][1]["text"], "No, it is noise.")
    assert (row["caption"], row["llm"]) == ("noise number 03", "ok")
    assert "No, it is noise." in shown.stdout
    assert len(server.requests) == 10  # the second run found every reply in the cache
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*") if path.suffix != ".png")
    assert "sk-secret" not in written + result.stdout + result.stderr + shown.stdout + shown.stderr


def test_rows_without_a_reply_keep_the_models_answer_and_only_they_are_asked_again(
    call: Call, pictures: Path, captions: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    broken = True

    def reply(request: dict[str, Any]) -> str | Trouble:
        bad = broken and "number 02" in request["messages"][0]["content"]
        return Trouble(500, {"error": {"message": "sk-secret is broken"}}) if bad else by_form(request)

    with serving(reply) as server:
        words = ["vqa", pictures, "-m", MODEL, *llm(server.url, captions, tmp_path, "-o", output)]
        first = call(*words)
        assert first.exit_code == 1
        assert "02.png, what?" in first.stderr and "sk-secret" not in first.stderr
        row = rows_of(output)[2]
        assert row["short_answer"] == row["long_answer"] == row["answer"]
        assert row["llm"].startswith("failed, kept the model's own answer")
        assert [row["llm"] for row in rows_of(output)].count("ok") == 4
        broken = False
        server.requests.clear()
        second = call(*words)
        assert second.exit_code == 0, second.stderr
        assert len(server.requests) == 2
        assert [row["image"] for row in rows_of(output)] == [f"{number:02d}.png" for number in range(5)]
        assert all(row["llm"] == "ok" for row in rows_of(output))


def test_a_run_that_was_killed_asks_only_for_the_rest(
    call: Call, pictures: Path, captions: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    stuck = True

    def reply(request: dict[str, Any]) -> str:
        if "number 03" in request["messages"][0]["content"]:
            while stuck:
                time.sleep(0.01)
        return by_form(request)

    with serving(reply) as server:
        words = llm(server.url, captions, tmp_path, "-o", output, "--llm-concurrency", 1)
        command = [sys.executable, "-m", "tuwen", "vqa", *map(str, [pictures, "-m", MODEL, *words])]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            while len(server.requests) < 7:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
        stuck = False
        assert not output.exists()
        server.requests.clear()
        assert call("vqa", pictures, "-m", MODEL, *words).exit_code == 0
        assert len(server.requests) == 4  # two forms of two pictures
    assert [row["image"] for row in rows_of(output)] == [f"{number:02d}.png" for number in range(5)]
    assert all(row["llm"] == "ok" for row in rows_of(output))


def test_a_reply_that_is_not_understood_is_said_in_its_row(
    call: Call, pictures: Path, captions: Path, tmp_path: Path
) -> None:
    with serving(in_turn("none of them")) as server:
        words = llm(server.url, captions, tmp_path, "--llm-form", "short", "--json")
        result = call("vqa", pictures, "-m", MODEL, *words)
    assert result.exit_code == 0
    row = json.loads(result.stdout)["rows"][0]
    assert row["short_answer"] == row["answer"]
    assert row["llm"] == "reply not understood, took the first candidate: none of them"
    assert "long_answer" not in row


def test_a_prompt_of_ones_own_and_tags_reach_the_llm(
    call: Call, model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("图：{caption} 问：{question} 选：{candidates}", encoding="utf-8")
    (tmp_path / "tags.txt").write_text("猫\n草地\n", encoding="utf-8")
    with serving(in_turn("A")) as server:
        monkeypatch.setenv("TUWEN_LLM_URL", server.url)
        monkeypatch.setenv("TUWEN_LLM_MODEL", "tiny")
        words = ["--llm-form", "short", "--short-template", tmp_path / "mine.txt", "--llm-cache", tmp_path / "cache"]
        tags = ["--tags-model", model, "--tags", tmp_path / "tags.txt", "--llm-parameters", '{"temperature": 0}']
        result = call("vqa", pictures / "00.png", "-m", MODEL, "-q", "what?", "--llm", *words, *tags)
    assert result.exit_code == 0, result.stderr
    (prompt,) = server.prompts()
    assert prompt.startswith("图：Most likely in the picture: ")
    assert "猫" in prompt and "问：what? 选：A. " in prompt
    assert server.requests[0]["temperature"] == 0


def test_without_llm_nothing_is_sent(call: Call, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(by_form) as server:
        monkeypatch.setenv("TUWEN_LLM_URL", server.url)
        monkeypatch.setenv("TUWEN_LLM_MODEL", "tiny")
        assert call("vqa", pictures, "-m", MODEL, "-q", "what?").exit_code == 0
    assert not server.requests
