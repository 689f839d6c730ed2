"""What lies beside weights and is read with them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from tuwen.sources import find


@pytest.mark.parametrize("name", ["config.json", "model_config.json"])
def test_a_folder_of_paddlenlp_has_its_description_under_either_name(name: str, tmp_path: Path) -> None:
    weights(tmp_path)
    (tmp_path / name).write_text(json.dumps({"model_type": "ernie_vil"}), encoding="utf-8")
    assert find(tmp_path).settings == {"model_type": "ernie_vil"}


def test_the_later_name_counts_where_a_folder_has_both(tmp_path: Path) -> None:
    weights(tmp_path)
    for number, name in enumerate(["config.json", "model_config.json"]):
        (tmp_path / name).write_text(json.dumps({"number": number}), encoding="utf-8")
    assert find(tmp_path).settings == {"number": 0}


def test_the_file_alone_has_the_description_of_its_folder_too(tmp_path: Path) -> None:
    path = weights(tmp_path)
    assert find(path).settings is None
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "ernie_vil"}), encoding="utf-8")
    assert find(path).settings == {"model_type": "ernie_vil"}


def weights(folder: Path) -> Path:
    path = folder / "model_state.pdparams"
    path.write_bytes(pickle.dumps({"temperature": np.zeros(1, np.float32)}, protocol=4))
    return path
