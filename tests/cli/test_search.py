"""`tuwen search`: what is nearest comes first, and vectors meet only the model that made them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Call, save_pictures
from tuwen.loading import load


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
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], code: int, said: str, call: Call, embedded: Path, other_model: Path
) -> None:
    result = call("search", *(word.format(out=embedded, other=other_model) for word in words), "-q")
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


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
