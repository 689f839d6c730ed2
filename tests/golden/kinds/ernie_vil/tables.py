"""The Arrow tables of the port's retrieval example: read, and written again as they were."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.tables import opened
from tuwen.data import paddlenlp
from tuwen.data.options import DEFAULT, Writing


def check_tables(case: Case, expected: Expected) -> None:
    """Both tables and the texts of the case's split: what is read from them, and the same files from that."""
    split = case.settings["split"]
    expected.same("splits", paddlenlp.splits(case.path), [split])
    dataset = paddlenlp.open_dataset(case.path, split)
    expected.same("failures", dataset.failures, [])
    rows = opened(case.path / f"{split}.arrow").to_pylist()
    pairs = [(id, text.text, dataset.pictures[id]) for text in dataset.texts for id in text.image_ids]
    expected.same("pairs", pairs, [(str(row["image_id"]), row["caption"], row["image"]) for row in rows])
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        paddlenlp.write(dataset, made, split, DEFAULT, Writing())
        for ending in (paddlenlp.TABLE, paddlenlp.IMAGES):
            ours, theirs = (opened(folder / f"{split}{ending}") for folder in (made, case.path))
            expected.same(f"{split}{ending} types", ours.schema, theirs.schema)
            described = [json.loads(table.schema.metadata[b"pandas"]) for table in (ours, theirs)]
            for form in described:
                del form["creator"], form["pandas_version"]
            expected.same(f"{split}{ending} description", *described)
            expected.same(f"{split}{ending} rows", ours.to_pylist(), theirs.to_pylist())
        texts = [(folder / f"{split}_texts.jsonl").read_bytes() for folder in (made, case.path)]
        expected.same(f"{split}_texts.jsonl", *texts)
        (made / f"{split}_texts.jsonl").unlink()
        (made / f"{split}_img.arrow").unlink()
        alone = paddlenlp.open_dataset(made, split)
        expected.same("captions alone", [text.text for text in alone.texts], [row["caption"] for row in rows])
        captioned = {str(row["image_id"]) for row in rows}
        pictures = {id: content for id, content in dataset.pictures.items() if id in captioned}
        expected.same("pictures alone", dict(alone.pictures), pictures)
