"""The data tools of BridgeTower and VLE: published files in, the Arrow tables that their code trains on out."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tuwen.checkpoint import replacing
from tuwen.data import karpathy, nlvr2, snli_ve, visual_genome, vqav2, web_captions
from tuwen.data.answers import ANSWER_TO_LABEL, LABEL_TO_ANSWER, normalize, vocabulary, write_labels
from tuwen.data.arrow_rows import Groups, Plan, Target, targets_by, write_table
from tuwen.data.arrow_table import Table, part_of, without_types, write_file
from tuwen.data.dataset import Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.grouped import Counts
from tuwen.data.json_items import items
from tuwen.data.options import DEFAULT, Options, Writing, stamp
from tuwen.data.visual_genome_splits import coco_numbers, split_visual_genome
from tuwen.errors import InputError, UsageError

SHARD = 100_000  # rows of one file of the captions from the web
REST = vqav2.REST


@dataclass
class Built:
    """What a tool made. tables: name of a file -> its rows; pictures: part -> how many there are; counts: what else.

    failures: rows of the published files that could not be used.
    """

    tables: dict[str, int] = field(default_factory=dict)
    pictures: dict[str, Counts] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def build(
    kind: str,
    raw: Path,
    target: Path,
    options: Options = DEFAULT,
    writing: Writing | None = None,
    seed: int | None = None,
    visual_genome: Path | None = None,
) -> Built:
    """Run one of TOOLS: `raw`, the folder of what was downloaded, into tables in the folder `target`.

    Rows keep the order of the published files; the originals leave theirs in a random order that cannot be had again,
    and seed draws one. Tables appear whole, one after the other; a run that was stopped goes on when it is called
    again. visual_genome: the folder of Visual Genome, for its questions, which are numbered by the answers of VQA v2 in
    `raw`. UsageError for another kind; InputError for files that are not there, or are there already.
    """
    if kind not in TOOLS:
        raise UsageError(f"there is no tool {kind!r}: expected one of {', '.join(TOOLS)}")
    job = Job(kind, raw.expanduser(), target.expanduser(), options, writing or Writing(), seed, visual_genome)
    if not job.raw.is_dir():
        raise InputError(f"{job.raw} is no folder: name the one that holds the published files")
    TOOLS[kind](job)
    job.end()
    return job.built


class Job:
    """One run of a tool: what it reads and writes, and a note of the tables that are finished until all are."""

    def __init__(
        self,
        kind: str,
        raw: Path,
        target: Path,
        options: Options,
        writing: Writing,
        seed: int | None,
        visual_genome: Path | None,
    ) -> None:
        self.kind, self.raw, self.target, self.options, self.writing = kind, raw, target, options, writing
        self.seed, self.visual_genome = seed, visual_genome
        self.built = Built()
        self._note = target / f".build-{kind}.json"
        self._about: dict[str, Any] = {"kind": kind, "raw": str(raw.resolve()), "seed": seed}
        self._about |= {"pictures": str(options.pictures or ""), "jpeg": str(options.jpeg)}
        read = [raw, *([visual_genome or raw.parent / "vg"] if kind in ("vgqa", "vgqa-coco") else [])]
        self._about["files"] = [stamp(folder.resolve(), self._is_ours) for folder in read]
        self._done: dict[str, Any] = self._read_note()

    def dataset(self, part: str, read: Callable[[], tuple[Dataset, Counts] | Dataset]) -> Dataset:
        """Read a part, and keep what is wrong with it and how many pictures it has."""
        found = read()
        dataset, counts = found if isinstance(found, tuple) else (found, None)
        for failure in dataset.failures:
            if self.writing.on_error == "fail":
                raise InputError(f"{failure.id}: {failure.reason}")
        self.built.failures += dataset.failures
        if counts is not None:
            self.built.pictures[part] = counts
        return dataset

    def table(self, name: str, dataset: Dataset, groups: Groups, plan: Plan) -> int:
        """Write one table, unless a run that was stopped has; gives the number of its rows."""

        def made(writing: Writing) -> int:
            return write_table(dataset, groups, self.target / name, plan, self.options, writing)

        return self.once(name, made)

    def whole(self, name: str, dataset: Dataset, plan: Plan) -> int:
        """The table of all pictures."""
        return self.table(name, dataset, self.ordered(Groups(dataset)), plan)

    def ordered(self, groups: Groups) -> Groups:
        """In the order that was asked for."""
        return groups if self.seed is None else groups.shuffled(self.seed)

    def once(self, name: str, made: Callable[[Writing], int]) -> int:
        """Have a file made, unless the note says that it is; the rest is as for `table`."""
        if name in self._done and (self.target / name).exists():
            rows, failures = self._done[name]
            self.writing.failures += [Failure(*failure) for failure in failures]
        else:
            writing = dataclasses.replace(self.writing, failures=[])
            rows = made(writing)
            self.writing.failures += writing.failures
            self._done[name] = [rows, [[failure.id, failure.reason] for failure in writing.failures]]
            with replacing(self._note) as temporary:
                temporary.write_text(json.dumps({"about": self._about, "done": self._done}), encoding="utf-8")
        self.built.tables[name] = rows
        return int(rows)

    def end(self) -> None:
        """All tables are there."""
        self._note.unlink(missing_ok=True)

    def refuse(self, path: Path) -> None:
        """InputError where a file is there already and may not be replaced."""
        if path.exists() and not self.writing.overwrite and path.name not in self._done:
            raise InputError(f"{path} is there already: choose another place, or pass --overwrite to replace it")

    def _is_ours(self, path: Path) -> bool:
        """Whether a tool makes this, where it writes into the folder that it reads."""
        target = self.target.resolve()
        made = path.suffix == ".arrow" or path.name in (ANSWER_TO_LABEL, LABEL_TO_ANSWER)
        return path == target or (path.parent == target and made)

    def _read_note(self) -> dict[str, Any]:
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return dict(note["done"]) if note["about"] == self._about else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


# -- captions ---------------------------------------------------------------------------------------------------------


def _karpathy(file: str, name: str, splits: Iterable[str], job: Job) -> None:
    path = job.raw / "karpathy" / file if (job.raw / "karpathy" / file).is_file() else job.raw / file
    if not path.is_file():
        raise InputError(f"{path} is not there")
    for split in splits:
        dataset = job.dataset(split, partial(karpathy.read, path, split, job.options))
        job.whole(f"{name}_{split}.arrow", dataset, Plan(split))


def _web_captions(splits: Mapping[str, str], job: Job) -> None:
    """The column split holds the last part of the folder's name, as in the published tables."""
    word = job.raw.resolve().name.rpartition("_")[2]
    for split, name in splits.items():
        dataset = job.dataset(split, partial(web_captions.read, job.raw, split, job.options))
        groups = job.ordered(Groups(dataset))
        for shard, start in enumerate(range(0, max(len(groups), 1), SHARD)):
            part = groups.part(start, start + SHARD)
            job.table(f"{name}_{shard}.arrow", dataset, part, Plan(word, about={"shard": shard}))


def _regions(job: Job) -> None:
    read = partial(visual_genome.read, job.raw, visual_genome.REGIONS, job.options)
    job.whole("vg.arrow", job.dataset("regions", read), Plan())


# -- questions --------------------------------------------------------------------------------------------------------


def _vqa(normalized: bool, job: Job) -> None:
    """vqav2_{train,val,test,test-dev}.arrow, and val in two parts, its last 1000 pictures and the others.

    What is counted counts questions about pictures that are not there, too, as the originals do.
    """
    ending = "_fix" if normalized else ""
    labels = _labels(job, job.raw)
    splits = [split for split in vqav2.YEARS if vqav2.questions_file(job.raw, split).is_file()]
    for split in splits:
        dataset = job.dataset(split, partial(vqav2.read, job.raw, split, job.options))
        named = job.built.pictures[split]
        absent = vqav2.without_pictures(job.raw, split, job.options) if named.named > named.used else ()
        asked = len(dataset.texts) + len(absent)
        job.built.counts |= {f"{split} pictures": named.named, f"{split} questions": asked}
        if split in vqav2.ANSWERED and dataset.notes:
            raise InputError(dataset.notes[0])
        plan = Plan(split, targets_by(labels, normalized), {"normalized": normalized, "labels": len(labels)})
        name = f"vqav2_{split}{ending}.arrow"
        rows = job.whole(name, dataset, plan)
        kept = [text for text in absent if split not in vqav2.ANSWERED or targets_by(labels, normalized)([text])[0][1]]
        left = int(Table([job.target / name]).lengths("questions").sum())
        job.built.pictures[split] = Counts(named.files, rows + len({text.image_ids for text in kept}), rows)
        job.built.counts[f"{split} questions kept"] = left + len(kept)
    if "val" in splits:
        _halves(ending, job)


def _halves(ending: str, job: Job) -> None:
    """val but for its last 1000 rows, and these. Tables without rows have no types, but of the numbers of pictures."""
    whole = job.target / f"vqav2_val{ending}.arrow"
    table = Table([whole])
    cut = max(len(table) - REST, 0)
    for part, start, stop in ((vqav2.HALVES[0], 0, cut), (vqav2.HALVES[1], cut, len(table))):
        path = job.target / f"vqav2_{part}{ending}.arrow"

        def made(_: Writing, path: Path = path, start: int = start, stop: int = stop) -> int:
            job.refuse(path)
            schema = table.schema if stop > start else without_types(table.schema, ("image_id",))
            with replacing(path) as temporary:
                write_file(temporary, schema, stop - start, part_of(table, start, stop))
            return stop - start

        job.once(path.name, made)


def _labels(job: Job, raw: Path) -> dict[str, int]:
    """The labels of the answers in VQA v2's annotations, written beside the tables."""
    labels = vocabulary(vqav2.majority_answers(raw))
    path = job.target / ANSWER_TO_LABEL
    if not path.exists() or json.loads(path.read_text(encoding="utf-8")) != labels:
        job.refuse(path)
        job.target.mkdir(parents=True, exist_ok=True)
        write_labels(job.target, labels)
    job.built.counts["answers"] = len(labels)
    return labels


def _vg_questions(file: str, name: str, job: Job) -> None:
    """Visual Genome's questions as VQA v2's: one known answer that is right, each question of a picture once.

    Its train is for training, its val and test together for validation.
    """
    folder = job.visual_genome or job.raw.parent / "vg"
    try:
        ids = json.loads((folder / "vgqa" / file).read_text(encoding="utf-8"))
        parts = {"train": set(map(str, ids["train"])), "val": set(map(str, [*ids["val"], *ids["test"]]))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        path = folder / "vgqa" / file
        raise InputError(
            f"{path} cannot be read ({error}): make it with tuwen data build {folder} --to vgqa-split"
        ) from None
    labels = _labels(job, job.raw)
    dataset = job.dataset("questions", partial(visual_genome.read, folder, visual_genome.ASKED, job.options))
    groups = Groups(dataset)
    used = groups.of(lambda id: id in parts["train"] or id in parts["val"])
    job.built.counts |= _spread(dataset, used, labels)
    files = job.built.pictures.pop("questions").files
    for split, wanted in parts.items():
        part = job.ordered(groups.of(wanted.__contains__))
        plan = Plan(split, partial(single_answers, labels), {"file": file, "labels": len(labels)})
        rows = job.table(f"{name}_{split}.arrow", dataset, part, plan)
        job.built.pictures[split] = Counts(files, rows, rows)
        table = Table([job.target / f"{name}_{split}.arrow"])
        job.built.counts[f"{split} questions kept"] = int(table.lengths("questions").sum())


def single_answers(labels: Mapping[str, int], texts: list[Text]) -> list[Target]:
    """Targets of questions of Visual Genome about one picture; none for all but the first of equal questions, and where
    equal questions have several known answers."""
    known = _known(labels, texts)
    targets: list[Target] = []
    for text in texts:
        answer = normalize(text.columns["answer"])
        if answer in labels and len(known.get(text.text, ())) == 1:
            targets.append(([answer], [labels[answer]], [1.0]))
            known[text.text] = Counter()
        else:
            targets.append(([], [], []))
    return targets


def _known(labels: Mapping[str, int], texts: Iterable[Text]) -> dict[str, Counter[str]]:
    """question -> how often it has each known answer."""
    known: dict[str, Counter[str]] = {}
    for text in texts:
        answer = normalize(text.columns["answer"])
        if answer in labels:
            known.setdefault(text.text, Counter())[answer] += 1
    return known


def _spread(dataset: Dataset, groups: Groups, labels: Mapping[str, int]) -> dict[str, Any]:
    """How many questions there are, and how often one has which numbers of equal known answers."""
    spread: Counter[tuple[int, ...]] = Counter()
    asked = 0
    for number in range(len(groups)):
        texts = [dataset.texts[text] for text in groups[number][1]]
        asked += len(texts)
        spread.update(tuple(sorted(answers.values())) for answers in _known(labels, texts).values())
    return {"pictures": len(groups), "questions": asked, "answers of a question": dict(spread)}


# -- two pictures, premises -------------------------------------------------------------------------------------------


def _statements(job: Job) -> None:
    splits = nlvr2.splits(job.raw)
    if not splits:
        raise InputError(f"{job.raw} has none of NLVR2's files, such as nlvr2/data/train.json")
    for split in splits:
        dataset = job.dataset(split, partial(nlvr2.open_dataset, job.raw, split, job.options))
        job.whole(f"nlvr2_{split}.arrow", dataset, Plan())


def _entailments(job: Job) -> None:
    splits = snli_ve.splits(job.raw)
    if not splits:
        raise InputError(f"{job.raw} has none of SNLI-VE's files, such as snli_ve/snli_ve_train.jsonl")
    for split in splits:
        dataset = job.dataset(split, partial(snli_ve.open_dataset, job.raw, split, job.options))
        job.whole(f"snli_{split}.arrow", dataset, Plan())


# -- splits of Visual Genome ------------------------------------------------------------------------------------------


def _vg_split(job: Job) -> None:
    """coco_ids.json, pictures that are in one of Karpathy's splits of COCO, and ids.json, all of them."""
    beside = job.raw / "coco_splits"
    named = {split: coco_numbers(beside / f"karpathy_{split}_images.txt") for split in ("train", "val", "test")}
    try:
        test = {item.value["id"] for item in items(beside / "image_info_test2014.json", "images")}
        pictures = [(item.value["image_id"], item.value.get("coco_id")) for item in items(job.raw / "image_data.json")]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"image_info_test2014.json or image_data.json has a picture without a number ({error})"
        ) from None
    of_coco, of_all = split_visual_genome(pictures, named, seed=job.seed or 0)
    job.target.mkdir(parents=True, exist_ok=True)
    for name, ids in (("coco_ids.json", of_coco), ("ids.json", of_all)):
        job.refuse(job.target / name)
        with replacing(job.target / name) as temporary:
            temporary.write_text(json.dumps(ids), encoding="utf-8")
    linked = {coco for _, coco in pictures if coco}
    job.built.counts = {
        "coco test": len(test),
        "karpathy": {split: len(ids) for split, ids in named.items()},
        "linked": len(linked),
        "linked to coco test": len(linked & test),
        "linked to karpathy": {split: len(linked & ids) for split, ids in named.items()},
        "coco_ids": {split: len(ids) for split, ids in of_coco.items()},
        "ids": {split: len(ids) for split, ids in of_all.items()},
    }


TOOLS: dict[str, Callable[[Job], None]] = {
    "coco-karpathy": partial(_karpathy, karpathy.COCO, "coco_caption_karpathy", ("train", "val", "restval", "test")),
    "f30k-karpathy": partial(_karpathy, karpathy.FLICKR, "f30k_caption_karpathy", ("train", "val", "test")),
    "conceptual-captions": partial(_web_captions, {split: f"conceptual_caption_{split}" for split in ("val", "train")}),
    "sbu": partial(_web_captions, {"sbu": "sbu"}),
    "vg": _regions,
    "vqa": partial(_vqa, False),
    "vqa-fix": partial(_vqa, True),
    "vgqa-split": _vg_split,
    "vgqa": partial(_vg_questions, "ids.json", "vgqa"),
    "vgqa-coco": partial(_vg_questions, "coco_ids.json", "vgqa_coco"),
    "nlvr2": _statements,
    "snli": _entailments,
}
