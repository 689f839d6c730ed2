"""The API of iflytek/VLE: `from tuwen.compat.vle import ...` in place of `from models.VLE import ...`.

Numbers are the original's. Mended: the loss of patch-box classification, which the original cannot compute for labels
of patches; pipelines take paths as pictures and batches; the heat picture of a palette picture.
"""

from tuwen.compat.vle.choices import VLEForVCRQ2A, VLEForVCRQA2R
from tuwen.compat.vle.models import VLEForITM, VLEForMLM, VLEForPBC, VLEForVQA, VLEModel
from tuwen.compat.vle.pipelines import VLEForITMPipeline, VLEForPBCPipeline, VLEForVQAPipeline
from tuwen.compat.vle.processing import VLEProcessor
from tuwen.compat.vle.settings import VLEConfig
from tuwen.compat.vle.vcr import VLEForVCRQ2APipeline, VLEForVCRQA2RPipeline

__all__ = [
    "VLEConfig",
    "VLEForITM",
    "VLEForITMPipeline",
    "VLEForMLM",
    "VLEForPBC",
    "VLEForPBCPipeline",
    "VLEForVCRQ2A",
    "VLEForVCRQ2APipeline",
    "VLEForVCRQA2R",
    "VLEForVCRQA2RPipeline",
    "VLEForVQA",
    "VLEForVQAPipeline",
    "VLEModel",
    "VLEProcessor",
]
