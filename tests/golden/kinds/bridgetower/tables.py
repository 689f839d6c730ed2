"""The ten data scripts: every table they wrote, and what they printed, from the same files."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow

from tests.golden.case import Case, Expected
from tuwen.data import arrow
from tuwen.data.building import Built, build
from tuwen.data.grouped import Counts

COMMON, VG = "mscoco_flickr30k_vqav2_snli_ve", "vg"
# script -> (tool, folder of its files) for each of its runs, in their order
RUNS = {
    "write_coco_karpathy": [("coco-karpathy", COMMON)],
    "write_conceptual_caption": [("conceptual-captions", "cc")],
    "write_f30k_karpathy": [("f30k-karpathy", COMMON)],
    "write_nlvr2": [("nlvr2", "nlvr")],
    "write_sbu": [("sbu", "sbu")],
    "write_snli": [("snli", COMMON)],
    "write_vg": [("vg", VG)],
    "write_vqa": [("vqa-fix", COMMON), ("vqa", COMMON)],
    "write_vgqa": [("vgqa-coco", COMMON), ("vgqa", COMMON)],
}
SHUFFLED = {"nlvr2", "snli"}  # not: their rows stand in the order of the files


def check(case: Case, expected: Expected) -> None:
    printed = expected.value("stdout")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = linked(case.path / "raw", folder / "raw")
        expected.same("vgqa_split printed", split(case, expected, folder / "split"), printed["vgqa_split"])
        ids = raw / VG / "vgqa"
        ids.mkdir()
        for file in ("ids.json", "coco_ids.json"):
            (ids / file).write_text(json.dumps(given_ids(case)))
        for script, runs in RUNS.items():
            lines = []
            for tool, files in runs:
                built = build(tool, raw / files, folder / "made", visual_genome=raw / VG)
                lines += LINES.get(tool, said)(built)
            expected.same(f"{script} printed", lines, printed[script])
        expected.same("scripts", sorted({*RUNS, "vgqa_split"}), sorted(printed))
        check_tables(case, expected, folder / "made")


def linked(source: Path, target: Path) -> Path:
    """The same folders, writable, with links to the files."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())
    return target


# -- tables -----------------------------------------------------------------------------------------------------------


def check_tables(case: Case, expected: Expected, made: Path) -> None:
    """Columns, types and rows of every table; the files that the case holds are read as datasets, too."""
    theirs = expected.value("tables")
    names = {Path(name).name for name in theirs}
    expected.same("tables", sorted(path.name for path in made.glob("*.arrow")), sorted(names))
    for name, table in theirs.items():
        file = made / Path(name).name
        columns, rows = contents(file)
        expected.same(f"{name} columns", columns, table["columns"])
        key = table["sorted_by"]
        if key is not None:
            rows, wanted = (sorted(found, key=lambda row: row[key]) for found in (rows, table["rows"]))
        else:
            rows, wanted = (sorted(found, key=json.dumps) for found in (rows, table["rows"]))
        expected.same(f"{name} rows", rows, wanted)
        kept = case.path / "arrow" / file.name
        if kept.is_file():
            check_kept(expected, name, kept, file)


def check_kept(expected: Expected, name: str, kept: Path, made: Path) -> None:
    """A file that the original wrote: same head as ours, same rows, read as the same dataset."""
    theirs, ours = (opened(path) for path in (kept, made))
    expected.same(f"{name} types", ours.schema, theirs.schema)
    described = [json.loads(table.schema.metadata[b"pandas"]) for table in (ours, theirs)]
    for form in described:
        del form["creator"], form["pandas_version"]
    expected.same(f"{name} description", *described)
    if any(word in made.stem for word in SHUFFLED):
        expected.same(f"{name} order", ours.to_pylist(), theirs.to_pylist())
        return
    expected.same(f"{name} kept rows", *(sorted(map(repr, table.to_pylist())) for table in (ours, theirs)))
    datasets = [arrow.open_dataset(path) for path in (made, kept)]
    said_of = [
        sorted((text.id, text.text, text.image_ids, json.dumps(text.columns)) for text in dataset.texts)
        for dataset in datasets
    ]
    expected.same(f"{name} texts", *said_of)
    pictures = [{id: dataset.pictures[id] for id in sorted(dataset.pictures)} for dataset in datasets]
    expected.same(f"{name} pictures", *pictures)


def opened(path: Path) -> pyarrow.Table:
    with pyarrow.OSFile(str(path)) as file:
        return pyarrow.ipc.open_file(file).read_all()


def contents(path: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """(column -> type, rows), pictures as the case names them."""
    table = opened(path)
    rows = [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]
    return {field.name: str(field.type) for field in table.schema}, rows


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"sha1": hashlib.sha1(value).hexdigest(), "bytes": len(value)}
    return value


# -- what they print --------------------------------------------------------------------------------------------------


def said(built: Built) -> list[str]:
    """Two lines of each part; of captions in splits the parts together."""
    if any(name.startswith(("coco_", "f30k_")) for name in built.tables):
        first, *others = built.pictures.values()
        return lines_of(sum(others, first))
    return [line for counts in built.pictures.values() for line in lines_of(counts)]


def lines_of(counts: Counts) -> list[str]:
    what = "all" if counts.files == counts.used else "not all"
    return [f"{what} images have caption annotations", f"{counts.files} {counts.used} {counts.named}"]


def said_of_questions(built: Built) -> list[str]:
    """Pictures and questions of train and val, twice; those that are kept, with two fields each; the tables."""
    lines = []
    asked, kept = [], []
    for part in ("train", "val"):
        pictures = built.counts[f"{part} pictures"]
        questions = built.counts[f"{part} questions"]
        left = built.counts[f"{part} questions kept"]
        asked.append(f"{pictures} {questions}")
        kept.append(f"{built.pictures[part].named} {left} {2 * left}")
    lines = [*asked, *asked, *kept]
    return lines + [line for counts in built.pictures.values() for line in lines_of(counts)]


def said_of_vg(built: Built) -> list[str]:
    counts = built.counts
    kept = {part: counts[f"{part} questions kept"] for part in ("train", "val")}
    spread = [(str(list(numbers)), count) for numbers, count in counts["answers of a question"].items()]
    spread.sort(key=lambda one: (one[1], one[0]), reverse=True)
    several = sum(count for numbers, count in counts["answers of a question"].items() if len(numbers) != 1)
    used = sum(part.used for part in built.pictures.values())
    first = (
        f"qa_images: {counts['pictures']}, qa_valid_images: {used}, qa_pairs: {counts['questions']}, "
        f"qa_valid_pairs: {sum(kept.values())}, (train: {kept['train']}, val: {kept['val']})"
    )
    return [first, str(spread), str(several), *(line for one in built.pictures.values() for line in lines_of(one))]


LINES = {
    "nlvr2": lambda _: [],
    "snli": lambda _: [],
    "vqa": said_of_questions,
    "vqa-fix": said_of_questions,
    "vgqa": said_of_vg,
    "vgqa-coco": said_of_vg,
}

# -- splits of Visual Genome ------------------------------------------------------------------------------------------


def given_ids(case: Case) -> dict[str, list[int]]:
    """The ids that write_vgqa was run with, from the case's words."""
    found = re.findall(r"(train|val|test)=(\[[\d, ]*\])", case.settings["notes"])
    return {split: json.loads(ids) for split, ids in found}


def split(case: Case, expected: Expected, folder: Path) -> list[str]:
    """What vgqa_split prints of the pictures that the case's formula gives."""
    numbers = [int(number) for number in re.findall(r"\d+", case.settings["vgqa_formula"])]
    first, last, factor, every, _, listed, coco_test = numbers
    assert case.settings["vgqa_formula"].startswith("image_data: image_id 1..")
    pictures = [{"image_id": id, "coco_id": factor * id if id % every == 0 else None} for id in range(first, last + 1)]
    (folder / "coco_splits").mkdir(parents=True)
    (folder / "image_data.json").write_text(json.dumps(pictures))
    tests = {"images": [{"id": coco_test}]}
    (folder / "coco_splits" / "image_info_test2014.json").write_text(json.dumps(tests))
    linked_ids: dict[str, list[int]] = defaultdict(list)
    for place, id in enumerate(picture["coco_id"] for picture in pictures if picture["coco_id"]):
        linked_ids[("train", "val", "test")[place % 3]].append(id)
    for name, ids in linked_ids.items():
        lines = [f"COCO_val2014_{id:012d}.jpg {id}\n" for id in ids[:listed]]
        (folder / "coco_splits" / f"karpathy_{name}_images.txt").write_text("".join(lines))
    built = build("vgqa-split", folder, folder / "vgqa")
    theirs = expected.value("vgqa_split")
    for file, wanted in theirs.items():
        ids = json.loads((folder / "vgqa" / f"{file}.json").read_text())
        for part, about in wanted.items():
            ours = {"count": len(ids[part]), "sha1_of_sorted": digest(ids[part]), "smallest": sorted(ids[part])[:12]}
            expected.same(f"vgqa_split {file} {part}", ours, about)
    counts = built.counts
    parts = ("train", "val", "test")
    karpathy = ", ".join(str(counts["karpathy"][part]) for part in parts)
    return [
        f"There are {counts['coco test']} coco test images",
        f"Karpathy splits are {karpathy} (train, val, test)",
        f"Found {counts['linked']} visual genome images claiming coco ids",
        f"Overlap with COCO test is {counts['linked to coco test']}",
        *(f"Overlap with Karpathy {part} is {counts['linked to karpathy'][part]}" for part in parts),
        str(counts["ids"]["train"]),
    ]


def digest(ids: list[int]) -> str:
    return hashlib.sha1(json.dumps(sorted(ids)).encode()).hexdigest()
