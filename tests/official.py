"""Tiny datasets in the exact layouts of the published ones, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.datasets import png

Question = tuple[int, int, str, Sequence[str]]  # id, picture, text, people's answers, the first the most frequent
YEARS = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test-dev2015"}


def save(path: Path, content: Any) -> Path:
    """JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def save_lines(path: Path, rows: Sequence[Any]) -> Path:
    """JSON lines; a row that is a text stands there as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def save_pictures(folder: Path, names: Mapping[str, int] | Sequence[str]) -> Path:
    """Files by name, each the picture of its number."""
    numbered = names if isinstance(names, Mapping) else {name: number for number, name in enumerate(names)}
    for name, number in numbered.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return folder


def coco(split: str, id: int) -> str:
    """The path of a picture of COCO."""
    folder = YEARS[split].replace("-dev", "")
    return f"{folder}/COCO_{folder}_{id:012d}.jpg"


def save_vqa(root: Path, split: str, questions: Sequence[Question], pictures: Sequence[int] | None = None) -> Path:
    """A split of VQA v2; annotations for train and val."""
    rows = [{"image_id": image, "question": text, "question_id": id} for id, image, text, _ in questions]
    save(root / f"v2_OpenEnded_mscoco_{YEARS[split]}_questions.json", {"info": {"a": [1]}, "questions": rows})
    if not split.startswith("test"):
        annotations = [
            {
                "question_type": "what",
                "multiple_choice_answer": answers[0],
                "answers": [{"answer": answer, "answer_id": place} for place, answer in enumerate(answers, 1)],
                "image_id": image,
                "answer_type": "other",
                "question_id": id,
            }
            for id, image, _, answers in questions
        ]
        save(root / f"v2_mscoco_{YEARS[split]}_annotations.json", {"annotations": annotations, "license": {}})
    ids = dict.fromkeys(image for _, image, _, _ in questions) if pictures is None else pictures
    save_pictures(root, {coco(split, id): id for id in ids})
    return root


def some_vqa(root: Path) -> Path:
    """All four splits: "yes", "no" and "2" are learnt, "rare" is not."""
    yes, no = ["yes"] * 9 + ["No"], ["no"] * 5 + ["Two"] * 4 + ["yes"]
    train = [(100 + n, 5 - n % 5, f"is it {n}?", yes if n % 2 else no) for n in range(20)]
    train += [(130 + n, 9, "how many?", ["two"] * 10) for n in range(9)] + [(150, 8, "why?", ["rare"] * 10)]
    save_vqa(root, "train", train)
    save_vqa(
        root, "val", [(200, 42, "is it?", yes), (201, 41, "多少？", ["Two."] * 10), (202, 42, "why?", ["rare"] * 10)]
    )
    save_vqa(root, "test", [(300, 7, "what?", []), (301, 7, "who?", []), (302, 6, "where?", [])])
    save_vqa(root, "test-dev", [(300, 7, "what?", [])])
    return root


def save_nlvr2(root: Path) -> Path:
    """train, dev and its two parts."""
    label = {0: "True", 1: "False"}
    rows = {
        "train": [
            {
                "identifier": f"train-{pair}-0-{n}",
                "sentence": f"句子 {pair} {n}",
                "label": label[n],
                "directory": str(pair),
            }
            for pair in (10, 2)
            for n in (0, 1)
        ],
        "dev": [{"identifier": f"dev-{n}-0-1", "sentence": f"there are {n}", "label": label[n]} for n in (0, 1)],
    }
    data = root / "nlvr2" / "data"
    save_lines(data / "train.json", rows["train"])
    save_lines(data / "dev.json", rows["dev"])
    save_lines(data / "balanced" / "balanced_dev.json", rows["dev"][:1])
    save_lines(data / "unbalanced" / "unbalanced_dev.json", rows["dev"][1:])
    names = [f"images/train/{pair}/train-{pair}-0-img{side}.png" for pair in (10, 2) for side in (0, 1)]
    save_pictures(root, [*names, *(f"dev/dev-{n}-0-img{side}.png" for n in (0, 1) for side in (0, 1))])
    return root


def save_snli_ve(root: Path) -> Path:
    """train and dev, of two pictures each."""
    labels = ("entailment", "neutral", "contradiction")
    for split, first in (("train", 10), ("dev", 20)):
        rows = [
            {
                "Flickr30K_ID": str(first + n % 2),
                "sentence1": f"a premise {n % 2}",
                "sentence2": f"a hypothesis {n}",
                "gold_label": labels[n % 3],
                "pairID": f"{first}.jpg#{n}",
            }
            for n in range(5)
        ]
        save_lines(root / "snli_ve" / f"snli_ve_{split}.jsonl", rows)
    save_pictures(root / "flickr30k-images", {f"{id}.jpg": id for id in (10, 11, 20, 21)})
    return root


def save_karpathy(root: Path) -> Path:
    """COCO with all four splits, Flickr30K with three."""
    splits = ("train", "restval", "val", "test", "train")
    images = [
        {
            "filepath": "train2014" if n % 2 else "val2014",
            "filename": coco("train" if n % 2 else "val", n).partition("/")[2],
            "split": split,
            "sentences": [{"raw": f"caption {n} {m}", "sentid": 10 * n + m} for m in range(1 + n % 3)],
            "cocoid": n,
        }
        for n, split in enumerate(splits)
    ]
    save(root / "karpathy" / "dataset_coco.json", {"images": images, "dataset": "coco"})
    save_pictures(root, {f"{image['filepath']}/{image['filename']}": n for n, image in enumerate(images)})
    flickr = [
        {"filename": f"{n}.jpg", "split": split, "sentences": [{"raw": f"一张图 {n}"}], "imgid": n}
        for n, split in enumerate(("train", "val", "test", "test"))
    ]
    save(root / "karpathy" / "dataset_flickr30k.json", {"images": flickr})
    save_pictures(root / "flickr30k-images", [f"{n}.jpg" for n in range(4)])
    return root


def save_ai_challenger(root: Path) -> Path:
    """Both splits of AIC-ICC as their archives unpack, with four and three pictures."""
    for split, date, count in (("train", "20170902", 4), ("validation", "20170910", 3)):
        folder = root / f"ai_challenger_caption_{split}_{date}"
        rows = [
            {
                "url": f"http://example.org/{n}.jpg",
                "image_id": f"{split}{n:04x}.jpg",
                "caption": [f"第{n}张图 {m}" for m in range(5)],
            }
            for n in range(count)
        ]
        save(folder / f"caption_{split}_annotations_{date}.json", rows)
        save_pictures(folder / f"caption_{split}_images_{date}", [str(row["image_id"]) for row in rows])
    return root


def save_visual_genome(root: Path) -> Path:
    """Three pictures in two folders, with regions and questions."""
    regions = [
        {
            "id": id,
            "regions": [
                {
                    "region_id": 10 * id + n,
                    "image_id": id,
                    "phrase": f"a thing {n}",
                    "x": n,
                    "y": 2,
                    "width": 8,
                    "height": 9,
                }
                for n in range(id % 3)
            ],
        }
        for id in (1, 2, 3, 5)
    ]
    save(root / "annotations" / "region_descriptions.json", regions)
    asked = {
        1: [("what?", "Yes."), ("what?", "yes"), ("who?", "no"), ("who?", "yes"), ("why?", "nobody")],
        2: [("how many?", "two"), ("what?", "no")],
        5: [("what?", "nothing that is known")],
    }
    answers = [
        {
            "id": id,
            "qas": [
                {"image_id": id, "qa_id": 100 * id + n, "question": question, "answer": answer}
                for n, (question, answer) in enumerate(rows)
            ],
        }
        for id, rows in asked.items()
    ]
    save(root / "annotations" / "question_answers.json", answers)
    save_pictures(root / "images", {"VG_100K/1.jpg": 1, "VG_100K_2/2.jpg": 2, "VG_100K_2/5.jpg": 5})
    save(root / "vgqa" / "ids.json", {"train": [1], "val": [2], "test": [5]})
    save(root / "vgqa" / "coco_ids.json", {"train": [1], "val": [], "test": [2]})
    return root


def save_web_captions(root: Path) -> Path:
    """Conceptual Captions below cc, SBU below sbu."""
    cc, sbu = root / "cc", root / "sbu"
    for split, table in (("train", "Train_GCC-training.tsv"), ("val", "Validation_GCC-1.1.0-Validation.tsv")):
        (cc / "utils").mkdir(parents=True, exist_ok=True)
        rows = [f"{split} caption {n}\thttp://x.invalid/{n}\n" for n in range(4)]
        (cc / "utils" / table).write_text("".join(rows), encoding="utf-8")
        names = ["0000003.jpg", "0000001.jpg"]
        (cc / f"{split}_image_exist.txt").write_text("".join(f"/far/away/{name}\n" for name in names), encoding="utf-8")
        save_pictures(cc / f"{split}_image", names)
    urls = ["http://x.invalid/a/1_a.jpg", "http://x.invalid/2_b.jpg", "http://x.invalid/b/1_a.jpg"]
    save(
        sbu / "sbu-captions-all.json", {"user_ids": ["u"] * 3, "captions": ["one", "two", "three"], "image_urls": urls}
    )
    save_pictures(sbu / "SBU", ["1_a.jpg", "2_b.jpg"])
    return root


def save_vcr(root: Path, count: int = 3) -> Path:
    """val, of one picture per question."""
    rows = [
        {
            "annot_id": f"val-{n}",
            "objects": ["person", "cat"],
            "img_fn": f"movie/{n}.jpg",
            "metadata_fn": f"movie/{n}.json",
            "question": ["Is", [0], "near", [1], "?"],
            "answer_choices": [["yes"], ["no"], [[0, 1], "are", "."], ["?"]],
            "answer_label": n % 4,
            "rationale_choices": [["so"], ["no"], ["it"], ["is"]],
            "rationale_label": (n + 1) % 4,
        }
        for n in range(count)
    ]
    save_lines(root / "val.jsonl", rows)
    save_pictures(root / "vcr1images", [f"movie/{n}.jpg" for n in range(count)])
    for n in range(count):
        save(root / "vcr1images" / "movie" / f"{n}.json", {"boxes": [[0, 0, 1, 2, 0.9], [1, n, 2, 3, 0.5]], "width": 3})
    return root
