"""Picture files to pictures: whatever Pillow opens, and JPEG by a faster road where the pixels are the same."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFile

from tuwen.errors import InputError, UsageError

try:
    import simplejpeg
except ImportError:  # an accelerator only: without it every file goes through Pillow
    simplejpeg = None

if TYPE_CHECKING:
    from tuwen.types import Picture

MAX_PIXELS = 178_956_970  # about 13,000 x 13,000; Pillow's own limit
REFUSED_FORMATS = {"EPS"}
SAME_AS_PILLOW = {"YCbCr": "RGB", "RGB": "RGB", "Gray": "GRAY"}  # measured bit for bit; CMYK differs

# Loading a lazily opened PIL picture is not thread-safe, and a list may hold the same one twice.
_LOCKS = tuple(Lock() for _ in range(61))


def decode(
    picture: Picture, max_pixels: int = MAX_PIXELS, name: str | None = None, truncated: bool = False
) -> Image.Image:
    """A loaded PIL picture in the file's own mode, from a path, the bytes of a file, a PIL picture, or a uint8 array
    or tensor.

    Of several frames the first; the EXIF orientation is ignored, as the published models' pipelines do. `name` says in
    errors which picture it was, by default its path. InputError if the file is missing, not a picture, truncated, or
    has more than `max_pixels` pixels (looked up in its header, before anything is decoded). Safe to call from several
    threads. EPS is refused: Pillow would start another program on it.

    truncated: a file that ends too early gives the part that is there, the rest grey or black, as Pillow does with
    `LOAD_TRUNCATED_IMAGES`, which is set for all threads at once or for none.
    """
    label = name or label_of(picture)
    if isinstance(picture, Image.Image):
        _check_size(picture.size, max_pixels, label)
        with _LOCKS[id(picture) // 16 % len(_LOCKS)], _explained(label):
            picture.load()
        return picture
    if hasattr(picture, "__array__"):
        checked = _checked_array(picture, label)
        _check_size(checked.shape[1::-1], max_pixels, label)
        return Image.fromarray(checked)
    with _opened(picture, label) as file, _explained(label):
        image = _identify(io.BytesIO(_ended(file.read())) if truncated else file)
        if image is None:
            raise InputError(f"{label} is not a picture in a known format")
        _check_size(image.size, max_pixels, label)
        if truncated:
            _load_what_is_there(image)
        else:
            image.load()
    return image


def _ended(content: bytes) -> bytes:
    """A JPEG with one more mark of its end, which tells the decoder to fill what is missing."""
    return content + b"\xff\xd9" if content.startswith(b"\xff\xd8") else content


def _load_what_is_there(image: ImageFile.ImageFile) -> None:
    try:
        image.load()
    except OSError as error:
        image.tile = []  # nothing is left to be decoded
        if image.load() is None:  # not even begun
            raise error


def decode_array(
    picture: Picture, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> np.ndarray[Any, Any] | None:
    """uint8 (H, W, 3) or (H, W, 1) of a JPEG file, bit for bit what `decode` gives; None where only `decode` can tell.

    For whoever needs an array anyway: it saves the way through a PIL picture, which costs as much as decoding.
    """
    if simplejpeg is None or not isinstance(picture, str | Path | bytes | bytearray | memoryview):
        return None
    label = name or label_of(picture)
    with _opened(picture, label) as file:
        if file.read(2) != b"\xff\xd8":
            return None
        file.seek(0)
        content = file.read()
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        if colours not in SAME_AS_PILLOW:
            return None
        _check_size((width, height), max_pixels, label)
        return simplejpeg.decode_jpeg(content, SAME_AS_PILLOW[colours])
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        return None  # damaged: Pillow decides, and explains


def size_of(picture: Picture, name: str | None = None) -> tuple[int, int]:
    """(height, width) of what `decode` gives; of a file only the header is read. InputError where there is none."""
    if hasattr(picture, "__array__"):
        height, width = _checked_array(picture, name or label_of(picture)).shape[:2]
        return height, width
    found = header(picture, name)
    return found.height, found.width


def header(picture: str | Path | bytes | Image.Image, name: str | None = None) -> Image.Image:
    """A picture with its format, mode, size and info, but without pixels. InputError where a file has no such header.

    Until a JPEG's pixels begin all its EXIF has been read; other formats may have some behind them.
    """
    if isinstance(picture, Image.Image):
        return picture
    label = name or label_of(picture)
    with _opened(picture, label) as file, _explained(label):
        image = _identify(file)
        if image is None:
            raise InputError(f"{label} is not a picture in a known format")
        return image


def label_of(picture: Picture) -> str:
    """How an error names this picture when nobody gave it a name."""
    if isinstance(picture, str | Path):
        return str(picture)
    if isinstance(picture, Image.Image):
        return str(getattr(picture, "filename", "") or "picture (PIL)")
    return "picture (array)" if hasattr(picture, "__array__") else "picture (bytes)"


@contextmanager
def _opened(picture: str | Path | bytes, label: str) -> Iterator[IO[bytes]]:
    if isinstance(picture, bytes | bytearray | memoryview):
        if not picture:
            raise InputError(f"{label} is empty: 0 bytes")
        yield io.BytesIO(picture)
        return
    if not isinstance(picture, str | Path):
        raise UsageError(
            f"a picture is {type(picture).__name__}, expected a path, bytes, a PIL picture, or a uint8 array or tensor"
        )
    path = Path(picture)
    try:
        if not path.exists():
            raise InputError(f"{label} does not exist")
        if not path.is_file():
            raise InputError(f"{label} is not a file, expected a picture")
        if path.stat().st_size == 0:
            raise InputError(f"{label} is empty: 0 bytes")
        file = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if isinstance(error, InputError):
            raise
        raise InputError(f"{label} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    with file:
        yield file


@contextmanager
def _explained(label: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # every format has its own ways to fail
        raise InputError(f"{label} is damaged or cut short: {error}") from error


def _identify(file: IO[bytes]) -> ImageFile.ImageFile | None:
    """What `PIL.Image.open` does, but without its warning about large pictures, which cannot be silenced for one thread
    alone: the limit here is `max_pixels`. The common formats are tried before the others are imported."""
    prefix = file.read(16)
    tried: set[str] = set(REFUSED_FORMATS)
    for register in (Image.preinit, Image.init):
        register()
        for kind in [kind for kind in Image.ID if kind not in tried]:
            tried.add(kind)
            build, accepts = Image.OPEN[kind]
            try:
                accepted = accepts is None or accepts(prefix)
                if accepted and not isinstance(accepted, str):  # a string says why this Pillow cannot read that format
                    file.seek(0)
                    return build(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # how a format says: not mine
                continue
    return None


def _check_size(size: tuple[int, ...], max_pixels: int, label: str) -> None:
    width, height = size
    if not width * height:
        raise InputError(f"{label} has {width} x {height} pixels: a picture is at least one high and wide")
    if width * height > max_pixels:
        raise InputError(
            f"{label} has {width} x {height} = {width * height} pixels, at most {max_pixels} are decoded: "
            "make it smaller, or raise max_pixels"
        )


def _checked_array(given: Any, label: str) -> np.ndarray[Any, Any]:
    """(H, W, 3) or (H, W) of an array or tensor. Channels may come first where they cannot be rows: (3, H, W), W > 3.

    What ends in 3 or 1 has its channels there, so that pictures of 1 and of 3 rows are what they are.
    """
    try:
        array = np.asarray(given)
    except (TypeError, RuntimeError) as error:  # a tensor on a GPU, or one that wants gradients
        raise InputError(f"{label} cannot be read as an array: {error}") from error
    shape = array.shape
    if len(shape) == 3 and shape[2] not in (1, 3) and shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not fits or array.size == 0:
        raise InputError(
            f"{label} is {array.dtype} {shape}, expected uint8 (height, width, 3) or (height, width), "
            "at least one pixel high and wide"
        )
    return np.ascontiguousarray(array)
