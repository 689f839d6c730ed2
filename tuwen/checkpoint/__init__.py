"""Weight files, read without running anything in them and written without ever leaving half a file."""

from tuwen.checkpoint.pdparams_writing import write_pdparams
from tuwen.checkpoint.reading import Checkpoint, bare, read, strip_prefix
from tuwen.checkpoint.recognise import Look, find_weights, look
from tuwen.checkpoint.writing import digest, replacing, write_original, write_safetensors

__all__ = [
    "Checkpoint",
    "Look",
    "bare",
    "digest",
    "find_weights",
    "look",
    "read",
    "replacing",
    "strip_prefix",
    "write_original",
    "write_pdparams",
    "write_safetensors",
]
