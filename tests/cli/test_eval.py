"""`tuwen eval`: each command gives the figures of its evaluator, keeps runs, writes files, and names what is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import official
from tests.cli.conftest import Call, save_pictures
from tests.fusing import CASES, VLE_ANSWERING
from tests.tasks import tiny_vle
from tuwen.data import arrow
from tuwen.data.class_folders import open_dataset
from tuwen.evaluate import fill, nlvr2, snli_ve, two_stage, vqa, zeroshot
from tuwen.loading import load

BRIDGETOWER = CASES / "bridgetower"
PRETRAINED = BRIDGETOWER / "orig_pretrain" / "checkpoint" / "BridgeTower_pt_tiny.ckpt"


def weights(case: str) -> Path:
    (path,) = (BRIDGETOWER / case / "checkpoint").glob("*.ckpt")
    return path


def table(case: str, split: str, model: Path | None = None) -> list[object]:
    """The words of a command for a table of a case and its model."""
    path = model or weights(case)
    return [BRIDGETOWER / case / "data", "--split", split, "-m", path, "--tokenizer", path.parent / "roberta"]


def found(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (run,) = json.loads(result.stdout)
    return run


def opened(path: Path) -> Any:
    return load(path, tokenizer=path.parent / "roberta", device="cpu")


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for number in range(3):
        save_pictures(tmp_path / "mini" / "test" / str(number), 2)
    (tmp_path / "mini" / "label_cn.txt").write_text("猫\n草地\n红色\n", encoding="utf-8")
    return tmp_path / "mini"


# -- zero-shot --------------------------------------------------------------------------------------------------------


def test_zeroshot_gives_the_figures_of_the_python_call(call: Call, classes: Path, model: Path) -> None:
    run = found(call("eval", "zeroshot", classes, "-m", model, "--json", "-q"))
    assert run["figures"] == zeroshot.zeroshot(load(model, device="cpu"), open_dataset(classes, "test")).figures
    assert run["set"] == "mini"
    assert run["split"] == "test"
    assert set(run["intervals"]) == set(run["figures"])


def test_zeroshot_submits_in_the_originals_form_under_the_name_asked_for(
    call: Call, classes: Path, model: Path, tmp_path: Path
) -> None:
    words = ["eval", "zeroshot", "food-101", "--data", classes, "-m", model, "--protocol", "original"]
    result = call(*words, "--submit", tmp_path / "out" / "a.json", "--tower", "ViT-B-16", "-q")
    assert result.exit_code == 0, result.stderr
    content = json.loads((tmp_path / "out" / "a.json").read_text(encoding="utf-8"))
    assert content["dataset_name"] == "food-101"
    assert content["model_name"] == "CN-CLIP-ViT-B-16"
    assert result.stdout.splitlines()[-3] == "Result:"
    assert result.stdout.splitlines()[-2].startswith("zeroshot-top1: ")


def test_a_broken_picture_is_listed_and_the_rest_counts(call: Call, classes: Path, model: Path, tmp_path: Path) -> None:
    (classes / "test" / "1" / "00.png").write_bytes(b"broken")
    result = call("eval", "zeroshot", classes, "-m", model, "--json", "-q")
    assert result.exit_code == 1
    (run,) = json.loads(result.stdout)
    assert run["failed"] == 1
    assert "1/00.png" in result.stderr
    assert call("eval", "zeroshot", classes, "-m", model, "--on-error", "fail", "-q").exit_code == 4
    result = call("eval", "zeroshot", classes, "-m", model, "--submit", tmp_path / "a.json", "-q")
    assert result.exit_code == 4
    assert "needs a row for each" in result.stderr
    assert not (tmp_path / "a.json").exists()


def test_models_stand_beside_each_other_and_runs_are_kept(
    call: Call, classes: Path, model: Path, other_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["eval", "zeroshot", classes, "-m", model, "-m", other_model, "-o", tmp_path / "runs", "-q"]
    first = call(*words)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.splitlines()[0].split() == ["figure", "tiny", "other"]
    kept = sorted((tmp_path / "runs").glob("*.json"))
    assert len(kept) == 2

    def never(*_: object) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr("tuwen.evaluate.zeroshot.predict", never)
    assert call(*words, "--skip-existing").stdout == first.stdout
    with pytest.raises(AssertionError, match="evaluated again"):
        call(*words, "--skip-existing", "--templates", "flowers")  # other options are another run


def test_templates_may_be_a_file(call: Call, classes: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("一只{}\n", encoding="utf-8")
    assert found(call("eval", "zeroshot", classes, "-m", model, "--templates", tmp_path / "mine.txt", "--json", "-q"))
    result = call("eval", "zeroshot", classes, "-m", model, "--templates", "nothing", "-q")
    assert result.exit_code == 2
    assert "there are no prompts 'nothing'" in result.stderr


# -- fusion -----------------------------------------------------------------------------------------------------------


def test_vqa_gives_the_figures_of_the_python_call(call: Call, tmp_path: Path) -> None:
    case = BRIDGETOWER / "orig_vqa"
    (tmp_path / "answers.json").write_text(json.dumps(["yes", "2", "red bus", "no", "t shirt", "?"]), encoding="utf-8")
    words = [*table("orig_vqa", "vqav2_val_fix"), "--answers", tmp_path / "answers.json", "--json", "-q"]
    run = found(call("eval", "vqa", *words))
    path = weights("orig_vqa")
    of = load(path, tokenizer=path.parent / "roberta", answers=tmp_path / "answers.json", device="cpu")
    assert run["figures"] == vqa.vqa(of, arrow.open_dataset(case / "data", "vqav2_val_fix")).figures


def test_vqa_submits(call: Call, tmp_path: Path) -> None:
    words = [BRIDGETOWER / "orig_vqa" / "data", "--split", "vqav2_test", "-m", VLE_ANSWERING]
    result = call("eval", "vqa", *words, "--submit", tmp_path / "a.json", "-q")
    assert result.exit_code == 0, result.stderr
    rows = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [row["question_id"] for row in rows] == [8000, 8001, 7000, 7001]
    assert "4 questions have no answers to compare with" in result.stderr


@pytest.mark.parametrize(
    ("command", "case", "split"), [("nlvr2", "orig_nlvr2", "nlvr2_dev"), ("snli-ve", "orig_snli", "snli_dev")]
)
def test_statements_and_hypotheses_give_the_figures_of_the_python_call(
    call: Call, command: str, case: str, split: str
) -> None:
    run = found(call("eval", command, *table(case, split), "--json", "-q"))
    evaluate = {"nlvr2": nlvr2.nlvr2, "snli-ve": snli_ve.snli_ve}[command]
    assert (
        run["figures"]
        == evaluate(opened(weights(case)), arrow.open_dataset(BRIDGETOWER / case / "data", split)).figures
    )


def test_nlvr2_submits(call: Call, tmp_path: Path) -> None:
    assert call("eval", "nlvr2", *table("orig_nlvr2", "nlvr2_dev"), "--submit", tmp_path / "a.csv", "-q").exit_code == 0
    lines = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    assert [line.partition(",")[0] for line in lines] == ["dev-3-0-0", "dev-3-0-1", "dev-4-1-0", "dev-4-1-1"]


def test_fill_hangs_on_its_seed(call: Call) -> None:
    words = table("orig_retrieval", "f30k_caption_karpathy_test", PRETRAINED)
    data = arrow.open_dataset(BRIDGETOWER / "orig_retrieval" / "data", "f30k_caption_karpathy_test")
    run = found(call("eval", "fill", *words, "--seed", 3, "--json", "-q"))
    assert run["figures"] == fill.fill(opened(PRETRAINED), data, seed=3).figures


def test_two_stages_show_figures_and_time_for_each_depth(call: Call, tmp_path: Path) -> None:
    words = table("orig_retrieval", "f30k_caption_karpathy_test")
    result = call("eval", "two-stage", *words, "--depth", "0,4", "-o", tmp_path / "runs", "-q")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    heading = next(number for number, line in enumerate(lines) if line.startswith("depth"))
    assert lines[heading].split()[:4] == ["depth", "ms", "ms_kept", "t2i_r1"]
    assert [line.split()[0] for line in lines[heading + 2 :]] == ["0", "4"]
    from tuwen.evaluate import runs

    (run,) = runs.find([tmp_path / "runs"])
    assert run.queries()["depths"]["depth"].tolist() == [0, 4]  # type: ignore[union-attr]


def test_the_sweep_is_drawn_into_a_file_of_a_new_run_and_of_one_that_is_there(call: Call, tmp_path: Path) -> None:
    words = ["two-stage", *table("orig_retrieval", "f30k_caption_karpathy_test"), "--depth", "0,4", "-q"]
    words += ["-o", tmp_path / "runs", "--skip-existing", "--plot"]
    for name in ("new.svg", "kept.svg"):
        assert call("eval", *words, tmp_path / name).exit_code == 0
    drawn = (tmp_path / "new.svg").read_text(encoding="utf-8")
    assert drawn.count("<polyline") == 2 * 2 * 3  # a line and its name, for both directions, of three recalls
    assert drawn == (tmp_path / "kept.svg").read_text(encoding="utf-8")
    (page,) = (tmp_path / "runs").glob("*.html")
    assert page.read_text(encoding="utf-8").count("<svg ") == 3


def test_two_stages_of_two_models_and_in_the_originals_way(call: Call) -> None:
    words = table("orig_retrieval", "f30k_caption_karpathy_test")
    data = arrow.open_dataset(BRIDGETOWER / "orig_retrieval" / "data", "f30k_caption_karpathy_test")
    judge = ["--rerank", PRETRAINED, "--rerank-tokenizer", PRETRAINED.parent / "roberta"]
    run = found(call("eval", "two-stage", *words, *judge, "--depth", 5, "--direction", "text_to_image", "--json", "-q"))
    first = opened(weights("orig_retrieval"))
    assert run["figures"] == two_stage.two_stage(first, opened(PRETRAINED), data, [5], ["text_to_image"]).figures
    run = found(call("eval", "two-stage", *words, "--protocol", "original", "--depth", 10, "--json", "-q"))
    assert run["figures"] == two_stage.original(first, first, data, 10).figures


# -- with a model in memory -------------------------------------------------------------------------------------------


def test_ground_points_at_boxes_of_a_table(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tuwen.data.dataset import PAIRS, Dataset, Text

    made = tiny_vle.model()
    texts = [
        Text("1", "a cat", ("a",), columns={"boxes": [[0, 0, 48, 48]]}),
        Text("2", "a dog", ("a",), "t:2", {"boxes": [[9]]}),
    ]
    data = Dataset("test", tmp_path, PAIRS, {"a": tiny_vle.picture()}, texts)
    monkeypatch.setattr("tuwen.cli.ready.ready", lambda *_: made)
    monkeypatch.setattr("tuwen.data.formats.open_dataset", lambda *_: data)
    result = call("eval", "ground", tmp_path, "-m", "tiny", "--json", "-q")
    assert result.exit_code == 1
    (run,) = json.loads(result.stdout)
    assert run["figures"]["pointing"] == 1
    assert run["failures"][0]["id"] == "t:2"


def test_vcr_takes_a_model_for_answers_and_one_for_reasons(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuwen.data.dataset import CHOICES, Dataset, Text

    columns = {
        "question": ["Is", [0], "here", "?"],
        "answers": [["yes"], ["no"], ["no", "!"], ["it", "is"]],
        "reasons": [["so"], ["it", "rains"], ["never"], ["it", "is", "so"]],
        "objects": ["person"],
        "boxes": [[0, 0, 20, 20]],
        "label": 1,
        "reason_label": 2,
    }
    Image.fromarray(tiny_vle.picture()).save(tmp_path / "a.png")
    data = Dataset("vcr", tmp_path, CHOICES, {"a": tmp_path / "a.png"}, [Text("val-0", "?", ("a",), columns=columns)])
    monkeypatch.setattr("tuwen.cli.ready.ready", lambda name, *_: tiny_vle.model(name))
    monkeypatch.setattr("tuwen.data.formats.open_dataset", lambda *_: data)
    words = ["eval", "vcr", tmp_path, "-m", "q2a", "-m", "qa2r", "-q"]
    run = found(call(*words, "--submit", tmp_path / "a.csv", "--json"))
    assert set(run["figures"]) == {"q_a", "qa_r", "q_ar"}
    assert run["model"] == "q2a + qa2r"
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("annot_id,answer_0,")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["zeroshot", "{classes}", "-m", "{model}", "--skip-existing"], 2, "name it with -o"),
        (["zeroshot", "{classes}", "-m", "{model}", "-m", "{model}", "--submit", "a.json"], 2, "pass one"),
        (["zeroshot", "{classes}", "-m", "{model}", "--language", "fr"], 2, "must be zh or en"),
        (["zeroshot", "{classes}/nothing", "-m", "{model}"], 2, "nothing at that path"),
        (["two-stage", "{classes}", "-m", "{model}", "--depth", "a"], 2, "expected whole numbers"),
        (["two-stage", "{classes}", "-m", "{model}", "--protocol", "original", "--depth", "1,2"], 2, "one depth"),
        (["two-stage", "{classes}", "-m", "{model}", "--plot", "a.png"], 2, "it is written as .svg"),
        (["two-stage", "{classes}", "-m", "{model}", "-m", "{model}", "--plot", "a.svg"], 2, "pass one"),
        (["two-stage", "{classes}", "-m", "{model}", "--protocol", "original", "--plot", "a.svg"], 2, "several depths"),
        (["vcr", "{classes}", "-m", "{model}", "--submit", "a.csv"], 2, "one for reasons, -m twice"),
    ],
)
def test_wrong_words_are_one_sentence(
    words: list[str], code: int, said: str, call: Call, classes: Path, model: Path
) -> None:
    result = call("eval", *(word.format(classes=classes, model=model) for word in words), "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


# -- refused before anything is encoded -------------------------------------------------------------------------------


@pytest.fixture
def never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def bar(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr("tuwen.cli.console.bar", bar)


@pytest.mark.parametrize(
    ("command", "case", "split", "said"),
    [
        ("retrieval", "orig_vqa", "vqav2_val_fix", "needs captions, "),
        ("two-stage", "orig_vqa", "vqav2_val_fix", "holds questions, which eval vqa takes"),
        ("fill", "orig_nlvr2", "nlvr2_dev", "eval fill needs captions"),
        ("ground", "orig_snli", "snli_dev", "holds hypotheses about pictures, which eval snli-ve takes"),
        ("zeroshot", "orig_snli", "snli_dev", "needs classes"),
        ("vqa", "orig_nlvr2", "nlvr2_dev", "eval vqa needs questions"),
        ("vcr", "orig_vqa", "vqav2_val_fix", "needs questions with choices"),
        ("nlvr2", "orig_snli", "snli_dev", "needs statements about two pictures"),
        ("snli-ve", "orig_nlvr2", "nlvr2_dev", "eval snli-ve needs hypotheses"),
        ("retrieval", "orig_retrieval", "f30k_caption_karpathy_test", "cannot embed"),
        ("two-stage", "orig_retrieval", "f30k_caption_karpathy_test", "cannot embed"),
        ("fill", "orig_retrieval", "f30k_caption_karpathy_test", "cannot fill"),
        ("ground", "orig_retrieval", "f30k_caption_karpathy_test", "cannot ground"),
        ("nlvr2", "orig_nlvr2", "nlvr2_dev", "cannot pair"),
        ("snli-ve", "orig_snli", "snli_dev", "cannot entail"),
    ],
)
@pytest.mark.usefixtures("never_begun")
def test_wrong_datasets_and_wrong_models_are_refused_before_the_work(
    command: str, case: str, split: str, said: str, call: Call
) -> None:
    result = call("eval", command, BRIDGETOWER / case / "data", "--split", split, "-m", VLE_ANSWERING)
    assert result.exit_code == 2, result.stderr
    assert said in result.stderr
    assert "eval " not in result.stderr.partition("tuwen: ")[0]  # no header either


@pytest.mark.parametrize(("command", "said"), [("zeroshot", "cannot classify")])
@pytest.mark.usefixtures("never_begun")
def test_a_model_that_cannot_classify_is_refused_before_the_work(
    command: str, said: str, call: Call, classes: Path
) -> None:
    result = call("eval", command, classes, "-m", VLE_ANSWERING, "-q")
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.usefixtures("never_begun")
def test_a_second_model_that_cannot_is_refused_before_the_first_one_works(
    call: Call, classes: Path, model: Path
) -> None:
    result = call("eval", "zeroshot", classes, "-m", model, "-m", VLE_ANSWERING, "-q")
    assert result.exit_code == 2
    assert "cannot classify" in result.stderr


@pytest.mark.usefixtures("never_begun")
def test_a_model_that_only_recalls_is_refused_before_the_work(call: Call, model: Path) -> None:
    data = BRIDGETOWER / "orig_retrieval" / "data"
    result = call("eval", "two-stage", data, "--split", "f30k_caption_karpathy_test", "-m", model, "-q")
    assert result.exit_code == 2
    assert "cannot match" in result.stderr


@pytest.mark.usefixtures("never_begun")
def test_vcr_refuses_two_models_of_one_kind_and_questions_that_the_judges_do_not_take(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuwen.data.dataset import CHOICES, Dataset, Text

    columns = {"answers": [["yes"]] * 4, "reasons": [["so"]] * 3, "objects": [], "label": 1, "reason_label": 2}
    data = Dataset("vcr", tmp_path, CHOICES, {"a": tmp_path / "a.png"}, [Text("val-0", "?", ("a",), columns=columns)])
    monkeypatch.setattr("tuwen.cli.ready.ready", lambda name, *_: tiny_vle.model(name))
    monkeypatch.setattr("tuwen.data.formats.open_dataset", lambda *_: data)
    result = call("eval", "vcr", tmp_path, "-m", "q2a", "-m", "q2a", "-q")
    assert (result.exit_code, "two models choose q2a" in result.stderr) == (2, True)
    result = call("eval", "vcr", tmp_path, "-m", "q2a", "-m", "qa2r", "--submit", tmp_path / "a.csv", "-q")
    assert (result.exit_code, "val-0 lacks choices" in result.stderr) == (4, True)


@pytest.mark.usefixtures("never_begun")
@pytest.mark.parametrize(
    ("words", "said"), [(["--submit", "a.jsonl"], "--submit"), (["--format", "original"], "parts")]
)
def test_a_set_that_is_evaluated_in_parts_has_no_files(
    words: list[str], said: str, call: Call, model: Path, tmp_path: Path
) -> None:
    official.save_karpathy(tmp_path)
    result = call("eval", "retrieval", "coco-1k", "--data", tmp_path, "-m", model, "-o", tmp_path / "runs", *words)
    assert result.exit_code == 2
    assert said in result.stderr
