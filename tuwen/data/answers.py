"""Answers of visual question answering as labels: their normal form, the list of frequent ones, scores by agreement."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tuwen.checkpoint import replacing
from tuwen.errors import InputError

LEAST = 9  # how often an answer must be the most frequent one of a question to be learnt
SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)  # of an answer that 0, 1, 2, 3, and 4 or more people gave
ANSWER_TO_LABEL, LABEL_TO_ANSWER = "answer2label.json", "label2answer.json"

MARKS = ';/[]"{}()=+\\_-><@`,?!'
NUMBERS = {
    word: str(number)
    for number, words in enumerate("none|zero one two three four five six seven eight nine ten".split())
    for word in words.split("|")
}
ARTICLES = frozenset({"a", "an", "the"})
# Words that come back with their apostrophe, or with their only missing one of two.
ONE_APOSTROPHE = """
    ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's isn't
    it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't
    somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's
    they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's
    where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
"""
TWO_APOSTROPHES = """
    couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've
    there'd've they'd've we'd've who'd've wouldn't've y'all'd've you'd've y'all'll 'ow's'at
"""
_MARK = re.compile(f"[{re.escape(MARKS)}]")
_DIGITS = re.compile(r"\d,\d")
_STOP = re.compile(r"\.(?!\d)")
MOST_STOPS = 32  # the original passes re.UNICODE, which is 32, where the number of replacements belongs


def _contractions() -> Iterator[tuple[str, str]]:
    for word in ONE_APOSTROPHE.split():
        yield word.replace("'", ""), word
    for word in TWO_APOSTROPHES.split():
        places = [place for place, sign in enumerate(word) if sign == "'"]
        yield from ((word[:place] + word[place + 1 :], word) for place in places)
    yield "somebody'd", "somebodyd"  # as published


CONTRACTIONS = dict(_contractions())


def normalize(answer: str) -> str:
    """An answer as it is counted: "The  Dog." -> "dog", "Two" -> "2", "dont know" -> "don't know".

    Marks vanish from the whole answer where one of their kind stands beside a space in it, or where it has a number
    like 1,000; else each becomes a space. The published rule of METER, BridgeTower and VLE; its contractions with a
    capital I never match lower-case words, so they are left out here.
    """
    text = answer
    dense = _DIGITS.search(answer) is not None
    for mark in MARKS if _MARK.search(answer) else "":
        beside_space = f"{mark} " in answer or f" {mark}" in answer
        text = text.replace(mark, "" if dense or beside_space else " ")
    text = _STOP.sub("", text, count=MOST_STOPS)
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES).replace(",", "")


def vocabulary(most_frequent: Iterable[str], least: int = LEAST) -> dict[str, int]:
    """answer -> label, of normalised answers that come at least `least` times, in the order of their first appearance.

    most_frequent: the most frequent answer of every question of train and then of val, as the annotations have them.
    """
    normal: dict[str, str] = {}
    counted = Counter(normal.setdefault(answer, normalize(answer)) for answer in most_frequent)
    return {answer: label for label, answer in enumerate(word for word, count in counted.items() if count >= least)}


def soft_score(count: int) -> float:
    """How right an answer is that so many of the ten people gave."""
    return SCORES[min(count, len(SCORES) - 1)]


def soft_targets(
    answers: Iterable[str], labels: Mapping[str, int], normalized: bool = True
) -> tuple[list[str], list[int], list[float]]:
    """(words, labels, scores) of the answers that have a label, in the order of their first appearance.

    normalized: count answers by their normal form; the published code of VLE, METER and ViLT forgets to, and loses
    those that are written differently.
    """
    counts = Counter(normalize(answer) if normalized else answer for answer in answers)
    known = [word for word in counts if word in labels]
    return known, [labels[word] for word in known], [soft_score(counts[word]) for word in known]


def write_labels(folder: Path, labels: Mapping[str, int]) -> list[Path]:
    """answer2label.json, an object, and label2answer.json, a list, in the published form; gives both paths."""
    written = []
    for name, content in ((ANSWER_TO_LABEL, dict(labels)), (LABEL_TO_ANSWER, _in_order(labels))):
        with replacing(folder / name) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
        written.append(folder / name)
    return written


def read_labels(path: Path) -> dict[str, int]:
    """answer -> label from either file, or from {label: answer} as models name them. InputError for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"the answers in {path} cannot be read as JSON: {error}") from None
    if isinstance(content, dict) and content and all(isinstance(answer, str) for answer in content.values()):
        try:
            content = {answer: int(label) for label, answer in content.items()}
        except ValueError:
            raise InputError(f"{path} has texts on both sides, expected answers and their numbers") from None
    if isinstance(content, list) and all(isinstance(answer, str) for answer in content):
        content = {answer: label for label, answer in enumerate(content)}
    if not isinstance(content, dict) or sorted(map(str, content.values())) != sorted(map(str, range(len(content)))):
        raise InputError(f"{path} is not a list of answers, nor answers with the numbers from 0, each once")
    return {str(answer): int(label) for answer, label in content.items()}


def _in_order(labels: Mapping[str, int]) -> Sequence[str]:
    return sorted(labels, key=lambda answer: labels[answer])
