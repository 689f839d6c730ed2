"""Runs of made-up models, for tests of what is done with runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tuwen.evaluate import runs
from tuwen.evaluate.runs import Run
from tuwen.evaluate.scored import Made, Scored, Table, figures_of


def scored(share: float, count: int = 200, offset: int = 0) -> Scored:
    """Retrieval in one direction: the first `share` of the queries are found."""
    hit = np.zeros(count)
    hit[: round(share * count)] = 1
    rank = np.where(hit > 0, 1, 7)
    ids = [str(number + offset) for number in range(count)]
    found = [["right" if one else "wrong"] for one in hit]
    table: Table = {"id": ids, "query": ids, "found": found, "right": [["right"]] * count, "rank": rank, "r1": hit}
    queries = {"text_to_image": table}
    made = {
        "text_to_image_r1": Made("text_to_image", "r1"),
        "text_to_image_median_rank": Made("text_to_image", "rank", "median"),
        "text_to_image_mean_recall": Made(of=("text_to_image_r1",)),
    }
    return Scored("retrieval", figures_of(queries, made), queries, made, ["a note / 注意"])


def run(folder: Path, name: str, share: float, **more: Any) -> Run:
    """A run with its files in the folder."""
    options = more.pop("options", {})
    what = scored(share, more.pop("count", 200), more.pop("offset", 0))
    about: dict[str, Any] = {"name": name, "source": name, "family": "chinese-clip", "variant": None}
    about |= {"fingerprint": f"f{name}", "parameters": 7, "device": "cpu", "dtype": "float32"}
    data = {"format": "chinese-clip", "kind": "pairs", "path": "x", "fingerprint": more.pop("data", "d")}
    data["counts"] = {"pictures": 3, "texts": 200, "pairs": 200}
    made = runs.run_of(what, [about], data, more.pop("set", "flickr30k-cn"), "test", options, 1.5, **more)
    return runs.write(folder, made, what.queries)
