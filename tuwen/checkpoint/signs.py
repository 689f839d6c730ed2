"""Tell what a file is that holds no weights we read, by its first bytes: often a download that went wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

READABLE = (
    "tuwen reads PyTorch files (.pt, .pth, .bin), .safetensors files, Paddle files (.pdparams), and folders of "
    "Hugging Face and PaddleNLP"
)

# (first byte, bytes there, kind, what it is, what to do)
_SIGNS: tuple[tuple[int, bytes, str, str, str], ...] = (
    (0, b"GGUF", "gguf", "a GGUF file (llama.cpp)", "convert from the original weights instead"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5", "an HDF5 file (Keras)", "convert from the PyTorch weights instead"),
    (4, b"TFL3", "tflite", "a TensorFlow Lite model", "convert from the PyTorch weights instead"),
    (0, b"\x93NUMPY", "numpy", "a single numpy array", READABLE),
    (257, b"ustar", "tar", "a tar archive", "unpack it and name the weight file inside"),
    (0, b"\x1f\x8b", "compressed", "a gzip-compressed file", "unpack it first"),
    (0, b"BZh", "compressed", "a bzip2-compressed file", "unpack it first"),
    (0, b"\xfd7zXZ\x00", "compressed", "an xz-compressed file", "unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "compressed", "a zstd-compressed file", "unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "compressed", "a 7-Zip archive", "unpack it first"),
    (0, b"Rar!", "compressed", "a RAR archive", "unpack it first"),
    (0, b"\x89PNG\r\n", "picture", "a PNG picture", READABLE),
    (0, b"\xff\xd8\xff", "picture", "a JPEG picture", READABLE),
    (0, b"GIF8", "picture", "a GIF picture", READABLE),
    (0, b"BM", "picture", "a BMP picture", READABLE),
    (8, b"WEBP", "picture", "a WebP picture", READABLE),
    (0, b"%PDF", "document", "a PDF document", READABLE),
)


def sign(path: Path, head: bytes, size: int) -> tuple[str, str, str]:
    """(kind, what it is, what to do) of a file whose first bytes are `head` and which is `size` bytes long."""
    if not head:
        return "empty", "empty (0 bytes)", "download it again"
    for start, mark, kind, what, way_out in _SIGNS:
        if head[start : start + len(mark)] == mark and not (mark == b"BM" and _is_text(head)):
            return kind, what, way_out
    # An ONNX file starts with its version as field 1, then the name of its producer as field 2.
    if head[0] == 0x08 and len(head) > 2 and head[1] < 64 and (head[2] == 0x12 or path.suffix == ".onnx"):
        return "onnx", "an ONNX graph", "name the checkpoint it was exported from: tuwen loads weights, not graphs"
    if _is_text(head):
        return _text(head, size)
    if head[:1] == b"\x00" * 1 and not head.strip(b"\x00"):
        return "blank", "filled with zero bytes: a download that was reserved but never arrived", "download it again"
    return "unknown", f"of no known format (it starts with {head[:8].hex(' ')})", READABLE


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut at the end of what was read is still text
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\r\n\t\ufeff" for character in text)


def _text(head: bytes, size: int) -> tuple[str, str, str]:
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    if start.startswith(b"version https://git-lfs"):
        found = re.search(rb"\nsize (\d+)", head)
        real = f" to a file of {int(found[1]):,} bytes" if found else ""
        return "git-lfs", f"a git-lfs pointer{real}, not the weights", "run `git lfs pull`, or download the file itself"
    if re.match(rb"<(!doctype html|html|head|\?xml|error)", start.lower()):
        title = re.search(rb"<(?:title|message)>([^<]{1,80})", head, re.IGNORECASE)
        said = f" ({title[1].decode('utf-8', 'replace').strip()})" if title else ""
        return "html", f"a web page{said}, not weights: the download failed", "download it again, signed in if needed"
    if start[:1] in (b"{", b"["):
        try:
            keys = ", ".join(list(json.loads(head))[:4]) if start[:1] == b"{" else ""
        except ValueError:
            keys = ""
        return "json", "a JSON file" + (f" with {keys}" if keys else ""), READABLE
    first = start.split(b"\n", 1)[0][:40].decode("utf-8", "ignore").strip()
    return "text", f'plain text of {size:,} bytes, starting "{first}"', READABLE
