"""What the README files tell people to type works: in their order, in one folder, as a reader would.

```python blocks share one namespace; in ```bash blocks the lines that start with `tuwen` run, `make` and `pip install`
lines must name what exists. An HTML comment `<!-- needs: weights -->` just before a block (also gpu, network, server,
hours) says why it cannot run here: then it is parsed only, and its options are looked up in the command line itself.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.zh.md"]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
REASONS = {"weights", "gpu", "network", "server", "hours"}
FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<language>\w*)\s*$")
NEEDS = re.compile(r"^<!--\s*needs:\s*(?P<reasons>[\w, ]+?)\s*-->$")
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
SHELL = re.compile(r"[|<>;&$`*]")  # a line with one of these outside quotes is given to a shell
OPERATOR = re.compile(r"\d?[|<>;&]+\d?")


@dataclass(frozen=True)
class Block:
    line: int  # of its first line of code, from 1
    language: str
    code: str
    runs: bool


def blocks(text: str) -> list[Block]:
    found = []
    fence = language = said = ""
    start = 0
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        opening = FENCE.match(line)
        if fence and line.strip() == fence:
            needs = NEEDS.match(said)
            reasons = set(re.split(r"[, ]+", needs["reasons"])) if needs else set()
            assert reasons <= REASONS, f"line {start - 1}: needs {reasons - REASONS}, known are {sorted(REASONS)}"
            found.append(Block(start, language, "\n".join(lines[start - 1 : number - 1]), runs=not reasons))
            fence = said = ""
        elif not fence and opening:
            fence, language, start = opening["ticks"], opening["language"], number + 1
        elif not fence and line.strip():
            said = line.strip()  # the last thing said before the next fence
    assert not fence, f"the fence opened before line {start} never closes"
    return found


def commands(block: Block) -> list[tuple[int, str]]:
    """Line number and text of each command; continued lines joined, a leading `$ ` and comments left out."""
    found: list[tuple[int, str]] = []
    joined, start = "", block.line
    for number, line in enumerate(block.code.splitlines(), block.line):
        start = start if joined else number
        joined += line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        joined = joined.removeprefix("$ ")
        if joined and not joined.startswith("#"):
            found.append((start, joined))
        joined = ""
    return found


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def check_tuwen_words(words: list[str]) -> None:
    """The words after `tuwen` name commands, options and arguments that the command line has."""
    from typer.main import get_command

    from tuwen.cli import app

    command: Any = get_command(app)
    context: Any = command.make_context("tuwen", [], resilient_parsing=True)
    while True:
        context.resilient_parsing = False  # was only for making the context: now a wrong word must raise
        values, words, _ = command.make_parser(context).parse_args(list(words))
        if not hasattr(command, "get_command") or not words:
            break
        found = command.get_command(context, words[0])
        assert found is not None, f"tuwen has no command {words[0]!r}"
        command, context = found, found.make_context(words[0], [], parent=context, resilient_parsing=True)
        words = words[1:]
    assert not words, f"too many arguments: {words}"
    missing = [param.name for param in command.params if param.required and values.get(param.name) in (None, ())]
    assert not missing, f"the command also needs {missing}"


def check_words(words: list[str]) -> None:
    """One simple command: what it names exists in tuwen, the Makefile or pyproject.toml."""
    if words[0] == "tuwen":
        check_tuwen_words(words[1:])
    if words[0] == "make":
        unknown = {word for word in words[1:] if "=" not in word} - make_targets()
        assert not unknown, f"the Makefile has no {unknown}"
    if "install" in words:
        asked = {name for word in words for name in re.findall(r"\[([\w,-]+)\]", word)}
        unknown = {extra for names in asked for extra in names.split(",")} - extras()
        assert not unknown, f"pyproject.toml has no extra {unknown}"


def simple_commands(line: str) -> list[list[str]]:
    """`make demo && tuwen models > out.txt` -> the words between the shell's operators."""
    groups = groupby(shlex.split(line, comments=True), lambda word: bool(OPERATOR.fullmatch(word)))
    return [list(words) for is_operator, words in groups if not is_operator]


def check_python(code: str) -> None:
    """Parses, and every name of tuwen that it mentions exists."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tuwen":
            assert hasattr(import_module("tuwen"), node.attr), f"tuwen has no {node.attr}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tuwen":
            module = import_module(node.module or "")
            missing = [alias.name for alias in node.names if not has(module, alias.name)]
            assert not missing, f"{node.module} has no {missing}"


def has(module: Any, name: str) -> bool:
    """Whether a module has a name, or a module of that name in it."""
    return hasattr(module, name) or find_spec(f"{module.__name__}.{name}") is not None


def run_tuwen_line(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if SHELL.search(QUOTED.sub("", line.split(" #")[0])):
        script = f'set -o pipefail; tuwen() {{ "{sys.executable}" -m tuwen "$@"; }}; {line}'
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(["bash", "-ec", script], env=environment, check=False)
        assert done.returncode == 0
        return
    from tuwen.cli import main

    monkeypatch.setattr(sys, "argv", shlex.split(line, comments=True))
    try:
        main()
    except SystemExit as done:
        assert not done.code, f"exit code {done.code}"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of a clone that a reader may name in a command, and nothing else."""
    for name in ("recipes", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shows_python(name: str) -> bool:
    return "```python" in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*READMES, *filter(shows_python, PAGES)])
def test_what_the_readme_shows_works(name: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    shown = [block for block in blocks((ROOT / name).read_text(encoding="utf-8")) if block.language]
    ran = 0
    for block in shown:
        if block.language == "python":
            check_python(block.code)
            program = compile("\n" * (block.line - 1) + block.code, ROOT / name, "exec")  # tracebacks name its lines
            if block.runs:
                exec(program, namespace)
                ran += 1
        for line, command in commands(block) if block.language == "bash" else []:
            try:
                for words in simple_commands(command):
                    check_words(words)
                if block.runs and command.startswith("tuwen "):
                    run_tuwen_line(command, monkeypatch)
                    ran += 1
            except BaseException as error:
                error.add_note(f"{name}:{line}: {command}")
                raise
    assert ran, f"{name} shows nothing that runs"


def test_both_readmes_show_the_same_commands() -> None:
    def shown(name: str) -> list[str]:
        found = [b for b in blocks((ROOT / name).read_text(encoding="utf-8")) if b.language == "bash"]
        without_words = [QUOTED.sub("''", command) for block in found for _, command in commands(block)]
        return [re.sub(r"\s+#.*", "", command) for command in without_words]

    english, chinese = (shown(name) for name in READMES)
    assert english == chinese


def test_links_within_the_clone_lead_somewhere() -> None:
    for name in [*READMES, *PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "THIRD_PARTY_NOTICES.md"]:
        text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
        broken = [link for link in links if not ((ROOT / name).parent / link).exists()]
        assert not broken, f"{name} links to {broken}"


def test_pictures_of_the_pages_open_and_are_small() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.webp"))
    assert pictures
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width >= 900, path.name
        assert path.stat().st_size < 300_000, path.name


def test_blocks_are_found_with_their_marks() -> None:
    text = "a\n```python\nx = 1\n```\n\n<!-- needs: weights -->\n\n```bash\n$ tuwen \\\n  models  # all\n# no\n```\n"
    first, second = blocks(text)
    assert first == Block(3, "python", "x = 1", runs=True)
    assert (second.line, second.runs) == (9, False)
    assert commands(second) == [(9, "tuwen models  # all")]
