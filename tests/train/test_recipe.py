from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from tuwen.errors import InputError, UsageError
from tuwen.train.recipe import Recipe, SceneRecipe, read, save

MINIMAL = "family: chinese-clip\nconfig: {embedding: 16}\n"
PUBLISHED = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(MINIMAL + text, encoding="utf-8")
    return path


def test_what_a_recipe_leaves_out_has_its_default(tmp_path: Path) -> None:
    assert read(written(tmp_path, "")) == Recipe("chinese-clip", {"embedding": 16})


def test_values_become_the_types_of_their_fields(tmp_path: Path) -> None:
    text = "lr: 1e-4\nbetas: [0.9, 0.95]\nweight_decay: 1\nsteps: 200\n"
    text += "scenes: {sizes: [96, 64], workers: 0, portraits: [0.7, 0.4]}\n"
    recipe = read(written(tmp_path, text))
    assert (recipe.lr, recipe.betas, recipe.steps) == (1e-4, (0.9, 0.95), 200)
    assert isinstance(recipe.weight_decay, float)
    assert recipe.scenes == SceneRecipe(sizes=(96, 64), workers=0, portraits=(0.7, 0.4))


def test_settings_on_the_command_line_win(tmp_path: Path) -> None:
    overrides = ["steps=7", "warmup=1", "scenes.workers=3", "lr=2e-3", "config.image.width=8"]
    recipe = read(written(tmp_path, "steps: 5\nscenes: {seed: 9}\n"), overrides)
    assert (recipe.steps, recipe.scenes.workers, recipe.scenes.seed, recipe.lr) == (7, 3, 9, 2e-3)
    assert recipe.config == {"embedding": 16, "image": {"width": 8}}


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        ("stps: 5\n", (), "unknown setting 'stps': did you mean 'steps'"),
        ("zzz: 5\n", (), "unknown setting 'zzz': the settings are family, config"),
        ("scenes: {worker: 1}\n", (), "unknown setting 'worker': did you mean 'workers'"),
        ("scenes: 3\n", (), "scenes must be a section of settings, found 3"),
        ("steps: many\n", (), "steps must be int, found 'many'"),
        ("steps: 1.5\n", (), "steps must be int, found 1.5"),
        ("steps: true\n", (), "steps must be int, found True"),
        ("lr: fast\n", (), "lr must be a number, found 'fast'"),
        ("betas: [0.9]\n", (), "betas must be 2 values"),
        ("precision: float64\n", (), "precision is 'float64': it must be float32 or bfloat16"),
        ("batch_size: 0\n", (), "batch_size is 0: it must be at least 1"),
        ("patch_dropout: 1.0\n", (), "patch_dropout is 1.0"),
        ("steps: 50\nwarmup: 50\n", (), "warmup .50 steps. must be shorter than the run"),
        ("", ("steps",), "'steps' is not a setting: write key=value"),
        ("", ("steps.more=1",), "'steps.more' names a setting inside 'steps'"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, overrides: tuple[str, ...], said: str) -> None:
    start = "steps: 200\n" if "steps" not in text else ""
    with pytest.raises(UsageError, match=said):
        read(written(tmp_path, start + text), overrides)


def test_a_recipe_without_its_family_says_so(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("config: {}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="lacks the setting 'family'"):
        read(path)


def test_a_file_that_is_no_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        read(path)
    path.write_text("steps: [1,\n", encoding="utf-8")
    with pytest.raises(InputError, match="is not YAML"):
        read(path)
    path.write_text("- steps\n", encoding="utf-8")
    with pytest.raises(InputError, match="must be a YAML mapping of settings, found list"):
        read(path)


def test_a_saved_recipe_is_read_back_equal(tmp_path: Path) -> None:
    recipe = read(written(tmp_path, "lr: 1e-6\nscenes: {sizes: [32, 64]}\n"))
    save(recipe, tmp_path / "saved.yaml")
    assert read(tmp_path / "saved.yaml") == recipe


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_the_recipes_of_the_repository_are_valid_and_say_how_to_run_them(path: Path) -> None:
    assert read(path).family == "chinese-clip"
    assert f"tuwen train recipes/{path.name}" in "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:3])


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Recipe("chinese-clip", {}).steps = 3  # type: ignore[misc]
