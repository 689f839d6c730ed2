"""Golden cases for the published classes: their checkpoints, pictures and recorded numbers."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from tests.golden.case import Case, Expected, read_case
from tests.golden.test_golden import KEPT, SHARED
from tuwen.compat.vle import VLEProcessor


def opened(name: str) -> tuple[Case, Expected]:
    """A case by family and name; the test is skipped where neither the kept cases nor a larger collection have it."""
    for root in (KEPT, SHARED):
        if (root / name / "case.json").is_file():
            case = read_case(root / name)
            return case, Expected(case)
    pytest.skip(f"the golden case {name} is not kept with the tests")


def settled(expected: Expected) -> None:
    """No comparison has failed."""
    assert not expected.differences, "\n".join(expected.differences)


def prepared(case: Case, **options: Any) -> Any:
    """What VLE's processor makes of all texts and pictures of a case."""
    processor = VLEProcessor.from_pretrained(case.path / "checkpoint")
    options = {"padding": True, "return_tensors": "pt", **options}
    return processor(text=case.texts, images=[Image.open(path) for path in case.images], **options)
