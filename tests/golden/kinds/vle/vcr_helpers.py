"""The parts of VCR preparation on their own: boxes, tags, words, and sequences over consecutive calls."""

from __future__ import annotations

from typing import Any

from tests.golden.case import Case, Expected
from tuwen.processing.patches import Area, cells, patches
from tuwen.processing.unigram import Unigram
from tuwen.processing.vcr import LENGTH, NAMES, Names, Sequences, sequences, spell, types


def check(case: Case, expected: Expected) -> None:
    tokenizer = Unigram.from_model(case.path / "checkpoint" / "spm.model")
    expected.equal("names", list(NAMES))
    expected.equal("max_text_len", LENGTH)
    expected.close_value("patch_boxes", [boxes(call) for call in case.settings["patch_box_calls"]])
    expected.equal("tags", [tags(numbers) for numbers in case.settings["tag_lists"]])
    expected.equal("retokenize", [spelled(call, tokenizer) for call in case.settings["retokenize_calls"]])
    check_sequences(expected, "build_q2a", case.settings["build_calls"], tokenizer, reasons=False)
    check_sequences(expected, "build_qa2r", case.settings["build_calls"], tokenizer, reasons=True)


def boxes(call: dict[str, Any]) -> list[Any]:
    """For each box the edges of the cells that it touches, in pixels, and the numbers of their patches."""
    width, height, count = call["width"], call["height"], call["image_size"] // call["patch_size"]
    area = Area(0, 0, width, height)
    wide, high = width / count, height / count
    found = []
    for box in call["boxes"]:
        left, top, right, bottom = cells(box, area, count)
        found.append([[left * wide, top * high, right * wide, bottom * high], patches(box, area, count)])
    return found


def tags(numbers: list[int]) -> dict[str, list[int]]:
    objects, image_types, text_types = types(numbers)
    return {
        "related_box_ids": objects,
        "image_added_token_type_ids": image_types,
        "text_token_type_ids": text_types,
    }


def spelled(call: dict[str, Any], tokenizer: Unigram) -> dict[str, Any]:
    pieces, words = spell(call["tokens"], call["names"], tokenizer)
    (ids,) = ids_of([[piece.text for piece in pieces]], tokenizer)
    rows = [[piece.text, number, piece.tag, piece.word] for piece, number in zip(pieces, ids, strict=True)]
    return {"ids_with_tag": rows, "raw": words}


def ids_of(pieces: list[list[str]], tokenizer: Unigram) -> list[list[int]]:
    numbers = {piece: number for number, piece in enumerate(tokenizer.vocabulary)}
    return [[numbers.get(piece, tokenizer.unknown_id) for piece in row] for row in pieces]


def check_sequences(
    expected: Expected, key: str, calls: list[dict[str, Any]], tokenizer: Unigram, reasons: bool
) -> None:
    """Calls one after the other with one counter of names; with `reasons`, choices are those for the first answer."""
    names = Names()
    for number, (call, theirs) in enumerate(zip(calls, expected.value(key), strict=True)):
        answer = call["answers"][0] if reasons else None
        built = sequences(tokenizer, call["question"], call["answers"], names(call["objects"]), answer)
        ours = described(built, tokenizer) | {"person_name_id": names.given}
        if "final_input_ids" in theirs:
            rows = tokenizer.ids(["".join(pieces) for pieces in built.pieces], LENGTH)
            ours["final_input_ids"] = [[*row, *[tokenizer.pad_id] * (LENGTH - len(row))] for row in rows]
        expected.same(f"{key} fields of call {number}", sorted(ours), sorted(theirs))
        for name, value in theirs.items():
            expected.same(f"{key} {name} of call {number}", ours.get(name), value)


def described(built: Sequences, tokenizer: Unigram) -> dict[str, Any]:
    return {
        "tokens": built.pieces,
        "ids": ids_of(built.pieces, tokenizer),
        "obj_tags": built.tags,
        "raw": built.words,
    }
