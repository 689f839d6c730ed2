"""BridgeTower's API in transformers: `from tuwen.compat.bridgetower import ...` in place of `from transformers import`.

Numbers are those of transformers, with its version 4 where the two differ: a checkpoint without crop_size crops to its
size, which the published large models need, and weights are computed in float32 whatever type their file has.
"""

from tuwen.compat.bridgetower.models import (
    BridgeTowerForContrastiveLearning,
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForMaskedLM,
    BridgeTowerModel,
)
from tuwen.compat.bridgetower.processing import BridgeTowerImageProcessor, BridgeTowerProcessor
from tuwen.compat.bridgetower.settings import BridgeTowerConfig, BridgeTowerTextConfig, BridgeTowerVisionConfig

__all__ = [
    "BridgeTowerConfig",
    "BridgeTowerForContrastiveLearning",
    "BridgeTowerForImageAndTextRetrieval",
    "BridgeTowerForMaskedLM",
    "BridgeTowerImageProcessor",
    "BridgeTowerModel",
    "BridgeTowerProcessor",
    "BridgeTowerTextConfig",
    "BridgeTowerVisionConfig",
]
