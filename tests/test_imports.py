"""Imports point down, heavy packages stay in the files that exist for them, and start-up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tuwen"

# From the ground up. A file imports from its own folder and from lower tiers; files directly in tuwen/ share a folder.
TIERS = (
    {"errors", "types"},
    {"checkpoint", "keymap", "hub", "distributed", "metrics"},
    {"nn", "losses", "processing", "data", "scenes", "states"},
    {"models"},
    {"tasks"},
    {"llm"},
    {"saving", "model", "sources", "adapting", "loading", "writing", "formats"},
    {"export", "search", "bulk", "verify"},
    {"evaluate"},
    {"train"},
    {"tuwen"},  # the public face, tuwen/__init__.py
    {"serve", "compat"},
    {"cli"},
    {"__main__"},
)
TIER = {unit: number for number, tier in enumerate(TIERS) for unit in tier}

# package -> the files that exist for it, which import it at their top
HEAVY = {
    "faiss": ("search/faiss.py",),
    "fastapi": ("serve/*.py",),
    "lancedb": ("search/*.py",),
    "lmdb": ("data/*.py",),
    "onnx": ("export/*.py",),
    "onnxruntime": ("export/*.py",),
    "onnxscript": ("export/onnx.py",),
    "openai": ("llm/client.py",),
    "openvino": ("export/openvino.py",),
    "prometheus_client": ("serve/*.py",),
    "pyarrow": ("data/*.py",),
    "ray": ("bulk.py",),
    "starlette": ("serve/*.py",),
    "tensorboard": ("train/*.py",),
    "torch.utils.tensorboard": ("train/*.py",),
    "typer": ("cli/*.py",),
    "uvicorn": ("serve/*.py",),
}

# They do not load on every platform, or belong to the originals; transformers only in tests and benchmarks.
BANNED = {"accelerate", "cn_clip", "cv2", "open_clip", "paddle", "pandas", "timm", "torchvision", "transformers"}


class Import(NamedTuple):
    file: Path  # relative to tuwen/
    line: int
    module: str  # absolute, with the imported name where that is itself a module of tuwen
    at_top: bool  # outside every function

    def __str__(self) -> str:
        return f"tuwen/{self.file.as_posix()}:{self.line}: {self.module}"


def files() -> list[Path]:
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imports(file: Path) -> list[Import]:
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    inside = {id(node) for function in functions(tree) for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [target(file, node, alias.name) for alias in node.names if alias.name != "__version__"]  # a string
        else:
            continue
        found += [Import(file, node.lineno, name, id(node) not in inside) for name in names]
    return found


def functions(tree: ast.AST) -> Iterator[ast.AST]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def target(file: Path, node: ast.ImportFrom, name: str) -> str:
    """The module that `from ... import name` reads, in full: `from tuwen import losses` reads tuwen.losses."""
    module = node.module or ""
    if node.level:
        package = ["tuwen", *file.parent.parts]
        module = ".".join([*package[: len(package) - node.level + 1], *([module] if module else [])])
    inner = PACKAGE.joinpath(*module.split(".")[1:], name)
    is_module = module.split(".")[0] == "tuwen" and (inner.with_suffix(".py").exists() or inner.is_dir())
    return f"{module}.{name}" if is_module else module


def unit(file: Path) -> str:
    """What a file counts as in TIERS: its folder, or its own name where it lies directly in tuwen/."""
    if len(file.parts) > 1:
        return file.parts[0]
    return "tuwen" if file.stem == "__init__" else file.stem


def unit_of_module(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "tuwen"


def is_folder(name: str) -> bool:
    return (PACKAGE / name).is_dir()


def own_or_lower(taker: str, given: str) -> bool:
    if taker == given or TIER[given] < TIER[taker]:
        return True
    return TIER[given] == TIER[taker] and not is_folder(taker) and not is_folder(given)


def test_every_module_has_a_tier() -> None:
    strangers = sorted({unit(file) for file in files()} - set(TIER))
    assert not strangers, f"add {strangers} to TIERS in tests/test_imports.py, at the place where they belong"


@pytest.mark.parametrize("file", files(), ids=str)
def test_imports_point_down(file: Path) -> None:
    if unit(file) == "tuwen":
        return  # the face names what it shows only to type checkers and at first use: see the tests of start-up below
    ours = [found for found in imports(file) if found.module.split(".")[0] == "tuwen"]
    wrong = [str(found) for found in ours if not own_or_lower(unit(file), unit_of_module(found.module))]
    assert not wrong, f"{unit(file)} stands below, or beside, what it imports: {wrong}"


@pytest.mark.parametrize("file", files(), ids=str)
def test_heavy_packages_are_imported_only_by_their_own_files(file: Path) -> None:
    wrong = []
    for found in imports(file):
        if found.module.split(".")[0] in BANNED:
            wrong.append(f"{found}: never a dependency")
        for package, places in HEAVY.items():
            if found.module == package or found.module.startswith(f"{package}."):
                if not any(fnmatch(file.as_posix(), place) for place in places):
                    wrong.append(f"{found}: belongs to {', '.join(places)}")
                elif not found.at_top and package != "typer":
                    wrong.append(f"{found}: belongs at the top of the file")
    assert not wrong, wrong


@pytest.mark.parametrize("file", files(), ids=str)
def test_every_module_opens_with_one_sentence(file: Path) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / file).read_text(encoding="utf-8")))
    assert text, f"tuwen/{file} has no docstring"
    first = text.split("\n\n")[0]
    assert first.rstrip().endswith((".", "?", "。")), f"tuwen/{file}: {first!r} is not a sentence"


def loaded_after(code: str) -> set[str]:
    """Names of the modules that a fresh Python holds after running the code, standard library included."""
    report = f"import sys\n{code}\nsys.__stdout__.write('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_tuwen_imports_nothing_heavy() -> None:
    loaded = loaded_after("import tuwen; tuwen.__version__; tuwen.UnsupportedTask; dir(tuwen)")
    assert not loaded & {"torch", "numpy", "PIL", "tokenizers", "typer", "yaml", "huggingface_hub"}


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["no-such-command"]], ids=" ".join)
def test_asking_for_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"sys.argv = ['tuwen', *{words!r}]\ntry:\n    from tuwen.cli import main; main()\nexcept SystemExit: pass"
    assert not loaded_after(code) & {"torch", "numpy", "PIL", "tokenizers", "pyarrow", "huggingface_hub"}


def test_the_public_face_keeps_its_promises() -> None:
    import tuwen

    missing = [name for name in tuwen.__all__ if not hasattr(tuwen, name)]
    assert not missing
    with pytest.raises(AttributeError, match=r"it has .*load"):
        tuwen.lode  # noqa: B018
