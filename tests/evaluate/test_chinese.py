"""Notes in Chinese: every sentence is one that an evaluator says, and keeps its numbers."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

import tuwen.evaluate
from tuwen.evaluate import chinese
from tuwen.evaluate.search_cost import Cost, said

# What the code puts in, one or another.
CHOSEN = (
    "no queries",
    "misses",
    " pictures in ",
    " texts in ",
    "have no answer that .* knows",
    "have no answers .* with",
)
FOLDER = Path(tuwen.evaluate.__file__).parent


def spoken() -> list[str]:
    """All words in the evaluators' code, and the notes of known sets."""
    found = []
    for path in FOLDER.glob("*.py"):
        if path.name != "chinese.py":
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            found += [node.value for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    known = json.loads((FOLDER / "sets" / "known.json").read_text(encoding="utf-8"))
    found += re.findall(r'"([^"]+)"', json.dumps(known, ensure_ascii=False))
    return found


@pytest.mark.parametrize("sentence", chinese.SENTENCES)
def test_every_sentence_is_said_somewhere(sentence: str) -> None:
    words = spoken()
    for part in re.split(rf"'?\{{\}}'?|{'|'.join(CHOSEN)}", sentence):
        assert any(part in word for word in words), part


@pytest.mark.parametrize("sentence", chinese.SENTENCES)
def test_every_name_and_number_is_kept_once(sentence: str) -> None:
    given = [f"<{number}>" for number in range(sentence.count("{}"))]
    written = chinese.note(sentence.format(*given))
    assert re.search("[\u4e00-\u9fff]", written)
    assert sorted(re.findall(r"<\d>", written)) == given


def test_sentences_within_sentences_are_chinese_too() -> None:
    why = "the runs answered other queries (pictures: 3 and 4, 2 in both): compare runs of one set and split in which "
    note = f"a and b are not compared: {why}the same rows could be read"
    assert chinese.note(note) == "a 与 b 未作比较：两次结果的查询不同（pictures：3 与 4，共同的 2）"


def test_what_nobody_knows_stays_as_it_is() -> None:
    assert chinese.note("something {else}") == "something {else}"


def test_the_cost_of_a_search_is_said_in_chinese() -> None:
    assert chinese.note(said(Cost(1, 2, 3, 4))).startswith("一次搜索：召回 1.00 毫秒")
