"""What is typed for `tuwen eval`, before any of it is looked at."""

from __future__ import annotations

import pytest

from tuwen.cli.eval_options import Asked
from tuwen.errors import UsageError


def test_a_pattern_means_every_published_model_of_that_name() -> None:
    asked = Asked("muge", ["chinese-clip/vit-l*", "demo"])
    assert asked.models == ["chinese-clip/vit-l-14", "chinese-clip/vit-l-14-336", "demo"]
    with pytest.raises(UsageError, match=r"no published model is called clip/\*: `tuwen models` lists them"):
        Asked("muge", ["clip/*"])
