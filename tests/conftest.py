"""What holds for every test: no network, fixed seeds, one thread unless the machine says otherwise."""

from __future__ import annotations

import os
import random
import socket
from typing import Any

# Read by huggingface_hub when it is imported, here and in the processes that tests start.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        metavar="DIR",
        default=None,
        help="folder of golden cases to run instead of the ones kept with the tests",
    )


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def only_local(self: socket.socket, address: Any) -> None:
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        if internet and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}: tests run without a network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_local)
