"""`tuwen search`: what is nearest comes first, and vectors meet only the model that made them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Call, save_pictures
from tuwen.loading import load

CASES = Path(__file__).parents[1] / "golden" / "cases"
FUSING = CASES / "bridgetower" / "hf_all_heads" / "checkpoint"
ANSWERING = CASES / "vle" / "vqa_base" / "checkpoint"


@pytest.fixture(scope="session")
def embedded(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    from tuwen.cli import app

    folder = tmp_path_factory.mktemp("search")
    save_pictures(folder / "pictures", 6)
    (folder / "pictures" / "03.txt").write_text("红色的猫\n绿色草地\n", encoding="utf-8")
    words = ["embed", str(folder / "pictures"), "-m", str(model), "-o", str(folder / "out"), "-q"]
    assert CliRunner().invoke(app, words).exit_code == 0
    return folder / "out"


def hits(call: Call, *words: object) -> list[dict[str, object]]:
    result = call("search", *words, "--json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, object]] = json.loads(result.stdout)["hits"]
    return found


def test_a_text_finds_the_pictures_with_the_highest_cosine(call: Call, model: Path, embedded: Path) -> None:
    found = hits(call, embedded, "红色的猫", "-k", 3)
    loaded = load(model)
    pictures = sorted((embedded.parent / "pictures").glob("*.png"))
    cosines = loaded.similarity(pictures, "红色的猫").flatten()
    best = cosines.sort(descending=True)
    assert [hit["id"] for hit in found] == [pictures[row].name for row in best.indices[:3].tolist()]
    assert [hit["score"] for hit in found] == pytest.approx(best.values[:3].tolist(), abs=1e-5)
    assert [hit["rank"] for hit in found] == [1, 2, 3]


def test_a_picture_finds_itself(call: Call, embedded: Path) -> None:
    picture = embedded.parent / "pictures" / "04.png"
    first, *_ = hits(call, embedded, "--image", picture)
    assert (first["id"], first["path"]) == ("04.png", str(picture))
    assert first["score"] == pytest.approx(1, abs=1e-5)


def test_texts_are_searched_when_asked_for(call: Call, embedded: Path) -> None:
    first, second = hits(call, embedded, "红色的猫", "--what", "text")
    assert (first["id"], first["text"]) == ("03.txt:1", "红色的猫")
    assert second["text"] == "绿色草地"


def test_text_and_picture_together_ask_for_what_is_near_both(call: Call, model: Path, embedded: Path) -> None:
    picture = embedded.parent / "pictures" / "04.png"
    loaded = load(model)
    both = loaded.encode_text("猫") + loaded.encode_image(picture)
    expected = (both / both.norm()) @ loaded.encode_image(picture).T
    (hit,) = [hit for hit in hits(call, embedded, "猫", "--image", picture) if hit["id"] == "04.png"]
    assert hit["score"] == pytest.approx(expected.item(), abs=1e-5)


def test_the_page_links_to_the_pictures_by_relative_paths(call: Call, embedded: Path) -> None:
    page = embedded.parent / "pages" / "found.html"
    assert call("search", embedded, "红色的猫", "-k", 2, "--html", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert 'src="../pictures/0' in text
    assert "红色的猫" in text
    assert str(embedded) not in text


def test_a_table_is_printed_for_people(call: Call, embedded: Path) -> None:
    lines = call("search", embedded, "红色的猫", "-k", 2).stdout.splitlines()
    assert lines[0].split() == ["rank", "score", "picture"]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{out}"], 2, "nothing to look for"),
        (["{out}", "  "], 2, "nothing to look for"),
        (["{out}", "猫", "--what", "both"], 2, "one kind at a time"),
        (["{out}/none", "猫"], 4, "does not exist"),
        (["{out}/../pictures", "猫"], 4, "has no manifest.json"),
        (["{out}", "--image", "{out}/none.png"], 4, "none.png"),
        (["{out}", "--image", "{out}/manifest.json"], 4, "manifest.json"),
        (["{out}", "猫", "-m", "no-such-model"], 3, "no-such-model"),
        (["{out}", "猫", "-m", "{other}"], 4, "cannot be compared"),
        (["{out}", "猫", "--depth", "5"], 2, "give --rerank MODEL"),
        (["{out}", "猫", "--sheet", "sheet.jpg"], 2, "must end in .png"),
        (["{out}", "--image", "{out}/none.png", "--rerank", "{judge}"], 2, "give a text"),
        (["{out}", "猫", "--what", "text", "--rerank", "{judge}"], 2, "--what image"),
        (["{out}", "猫", "--rerank", "demo"], 2, "cannot match: its tasks are embed, search, classify; these can: br"),
        (["{out}", "猫", "--rerank", "{answering}"], 2, "cannot match: its tasks are answer"),
        (["{out}", "猫", "--rerank", "no-such-model"], 3, "no-such-model"),
        (["{out}", "red cat " * 60, "--rerank", "{judge}"], 4, "tokens, the model takes 38"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], code: int, said: str, call: Call, embedded: Path, other_model: Path
) -> None:
    places = {"out": embedded, "other": other_model, "judge": FUSING, "answering": ANSWERING}
    result = call("search", *(word.format(**places) for word in words), "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_reranked_hits_carry_both_scores_and_where_they_were(call: Call, embedded: Path) -> None:
    recalled = hits(call, embedded, "a red cat", "-k", 4)
    reranked = hits(call, embedded, "a red cat", "-k", 3, "--rerank", FUSING, "--depth", 4)
    assert [hit["rank"] for hit in reranked] == [1, 2, 3]
    chances = [hit["match"] for hit in reranked]
    assert chances == sorted(chances, reverse=True)  # type: ignore[type-var]
    paths = [str(hit["path"]) for hit in reranked]
    assert chances == pytest.approx(load(FUSING).match(paths, "a red cat").flatten().tolist(), abs=2e-6)
    for hit in reranked:
        before = recalled[int(str(hit["recall_rank"])) - 1]
        assert (hit["id"], hit["score"]) == (before["id"], before["score"])


def test_the_table_of_reranked_hits_says_how_they_moved(call: Call, embedded: Path) -> None:
    found = hits(call, embedded, "a red cat", "--rerank", FUSING)
    lines = call("search", embedded, "a red cat", "--rerank", FUSING).stdout.splitlines()
    assert lines[0].split() == ["rank", "moved", "match", "cosine", "picture"]
    assert len(lines) == 2 + 6
    for line, hit in zip(lines[2:], found, strict=True):
        rank, moved, match, cosine, name = line.split()
        up = int(str(hit["recall_rank"])) - int(rank)
        assert moved == (f"↑{up}" if up > 0 else f"↓{-up}" if up else "=")
        assert (match, cosine, name) == (f"{hit['match']:.1%}", f"{hit['score']:.4f}", hit["id"])


def test_a_picture_that_has_vanished_is_reported_and_comes_last(call: Call, embedded: Path, tmp_path: Path) -> None:
    picture = embedded.parent / "pictures" / "02.png"
    content = picture.read_bytes()
    picture.unlink()
    try:
        result = call("search", embedded, "a red cat", "--rerank", FUSING, "--json")
        table = call("search", embedded, "a red cat", "--rerank", FUSING, "--sheet", tmp_path / "s.png")
    finally:
        picture.write_bytes(content)
    assert result.exit_code == table.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["hits"][-1]["id"], found["hits"][-1]["match"]) == ("02.png", None)
    assert len(found["hits"]) == 6
    assert [failure["id"] for failure in found["failures"]] == ["02.png"]
    assert "02.png does not exist" in result.stderr
    assert table.stdout.splitlines()[-1].split()[2] == "-"
    assert (tmp_path / "s.png").is_file()


def test_a_reranker_that_knows_no_chinese_says_so_once(call: Call, embedded: Path) -> None:
    result = call("search", embedded, "红色的猫", "--rerank", FUSING)
    assert result.exit_code == 0
    assert result.stderr.count("this model knows en only") == 1


def test_sheet_and_page_are_written_of_both_orders(call: Call, embedded: Path, tmp_path: Path) -> None:
    from PIL import Image

    words = [embedded, "a red cat", "-k", 3]
    both = [*words, "--rerank", FUSING, "--sheet", tmp_path / "new" / "b.png", "--html", tmp_path / "new" / "b.html"]
    assert call("search", *both).exit_code == 0
    assert call("search", *words, "--sheet", tmp_path / "a.png").exit_code == 0
    with Image.open(tmp_path / "a.png") as one, Image.open(tmp_path / "new" / "b.png") as two:
        assert two.width == one.width
        assert two.height > one.height + 196
    page = (tmp_path / "new" / "b.html").read_text(encoding="utf-8")
    assert page.count("<li>") == 3
    assert "前 6 张由 checkpoint 重排" in page


def test_an_unfinished_folder_says_how_to_go_on(call: Call, tmp_path: Path) -> None:
    (tmp_path / "out" / ".partial").mkdir(parents=True)
    result = call("search", tmp_path / "out", "猫")
    assert result.exit_code == 4
    assert "unfinished" in result.stderr


@pytest.mark.parametrize("damage", ["image_features.npy", "images.parquet", "manifest.json"])
def test_a_damaged_folder_is_refused(damage: str, call: Call, embedded: Path, tmp_path: Path) -> None:
    shutil.copytree(embedded, tmp_path / "out")
    (tmp_path / "out" / damage).write_bytes(b"{}")
    result = call("search", tmp_path / "out", "猫", "-q")
    assert result.exit_code == 4
    assert "damaged" in result.stderr
    assert result.stderr.count("\n") == 1
