"""VQA v2 as VLE's data script writes it, and the batches that its fine-tuning makes of the tables."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.tables import check_kept, opened
from tuwen.data import arrow
from tuwen.data.answers import normalize, read_labels, soft_score
from tuwen.data.building import build
from tuwen.data.dataset import Text

TRAINED = ("vqav2_train", "vqav2_trainable_val")


def check(case: Case, expected: Expected) -> None:
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        build("vqa", case.path / "vqav2", made)
        for file in ("answer2label", "label2answer"):
            expected.equal(file, json.loads((made / f"{file}.json").read_text()))
            expected.same(
                f"{file} bytes", (made / f"{file}.json").read_bytes(), (case.path / f"arrow/{file}.json").read_bytes()
            )
            expected.same(f"{file} labels", read_labels(made / f"{file}.json"), expected.value("answer2label"))
        check_tables(case, expected, made)
    for word, normal in expected.value("normalize_word"):
        expected.same(f"normalize {word!r}", normalize(word), normal)
    for count, score in expected.value("get_score"):
        expected.same(f"score {count}", soft_score(count), score)


def check_tables(case: Case, expected: Expected, made: Path) -> None:
    theirs = expected.value("tables")
    expected.same("tables", sorted(path.stem for path in made.glob("*.arrow")), sorted(theirs))
    for name, wanted in theirs.items():
        table = opened(made / f"{name}.arrow")
        # What newer versions of pyarrow and pandas call otherwise is the same, by the case's own words.
        types = {field.name: str(field.type).replace("large_string", "string") for field in table.schema}
        expected.same(f"{name} types", types, wanted["schema"])
        rows = sorted(map(plain, table.to_pylist()), key=lambda row: int(row["image_id"]))
        expected.same(f"{name} rows", rows, wanted["rows"])
        check_kept(expected, name, case.path / "arrow" / f"{name}.arrow", made / f"{name}.arrow")


def plain(row: dict[str, Any]) -> dict[str, Any]:
    image = row.pop("image")
    return {**row, "image_sha256": hashlib.sha256(image).hexdigest()}


def questions_of(case: Case, tables: tuple[str, ...] = TRAINED) -> list[Text]:
    """The questions of some tables of a fine-tuning case, in the order of its data module."""
    return [text for name in tables for text in arrow.open_dataset(case.path / "arrow" / f"{name}.arrow").texts]


def batches_of(case: Case, questions: list[Text]) -> list[list[Text]]:
    """Batches of all epochs, as a DistributedSampler of one process shuffles them."""
    settings = case.settings["train_config"]
    size, batches = settings["per_gpu_batchsize"], []
    for epoch in range(settings["max_epoch"]):
        order = torch.randperm(len(questions), generator=torch.Generator().manual_seed(epoch)).tolist()
        batches += [[questions[place] for place in order[start : start + size]] for start in range(0, len(order), size)]
    return batches


def check_batches(case: Case, expected: Expected) -> None:
    """Of a fine-tuning case: the questions of every batch, and what the first one holds beside its tensors."""
    batches = batches_of(case, questions_of(case))
    expected.equal("order", [[int(text.id) for text in batch] for batch in batches])
    first = batches[0]
    expected.equal(
        "batch0",
        {
            "text": [text.text for text in first],
            "vqa_answer": [list(text.columns["scores"]) for text in first],
            "vqa_labels": [text.columns["labels"] for text in first],
            "vqa_scores": [list(text.columns["scores"].values()) for text in first],
            "qid": [int(text.id) for text in first],
        },
    )
