"""The evaluation of np_img.npy and np_text.npy: scores, the rank of every partner, and what is printed."""

from __future__ import annotations

import numpy as np
import torch

from tests.golden.case import Case, Expected
from tuwen.evaluate.original.cal_xyb_retrieval import OPTIONS, cal_xyb_retrieval, ranks
from tuwen.models.brivl.outputs import FILES
from tuwen.search.exact import pair_scores

SHORT = dict(zip(OPTIONS, ("i2t", "t2i"), strict=True))


def check(case: Case, expected: Expected) -> None:
    for name in case.settings["sets"]:
        images, texts = (np.load(case.path / name / file, allow_pickle=False) for file in FILES)
        count = len(images)
        pairs = torch.cartesian_prod(torch.arange(count), torch.arange(count))
        scores = pair_scores(torch.from_numpy(images), texts, pairs[:, 0], pairs[:, 1])
        expected.close(f"scores.{name}", scores.reshape(count, count))
        for option, places in ranks(images, texts).items():
            expected.equal(f"rank.{SHORT[option]}.{name}", torch.from_numpy(places - 1))
        expected.equal(name, cal_xyb_retrieval(case.path / name))
