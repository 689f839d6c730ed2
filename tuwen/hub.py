"""Find a published model's files on this machine, or fetch them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from tuwen.errors import ModelNotFound

BUNDLED = Path(__file__).parent / "bundled"

# A folder in transformers' format: what may hold the weights, and what lies beside them. Of weights in several formats
# the first is taken, and the others are not fetched.
FOLDER_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model_state.pdparams",
)
WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.pt", "*.ckpt", "*.pdparams")
SIDE_PATTERNS = ("*.json", "vocab.txt", "merges.txt", "*.model")


@dataclass(frozen=True)
class Published:
    """Where a published model comes from and what to expect of it.

    repo: on the Hugging Face hub, and under AI-ModelScope on ModelScope; file: the original's weight file there, or ""
    where the whole repository is wanted, a folder in transformers' format; parameters: exact count; image_size in
    pixels; embedding: width E of its features, 0 where it has none; words: the repository of vocab.txt, where that is
    another.
    """

    repo: str
    file: str
    parameters: int
    image_size: int
    embedding: int
    languages: tuple[str, ...] = ("zh",)
    tasks: tuple[str, ...] = ("embed", "search", "classify")
    words: str = ""


def bundled(name: str) -> Path | None:
    """The folder of a model that comes with the package."""
    folder = BUNDLED / name
    return folder if Path(name).name == name and (folder / "config.json").is_file() else None


def cached(published: Published) -> Path | None:
    """The weight file in huggingface_hub's cache, if it was fetched before."""
    from huggingface_hub import try_to_load_from_cache

    for file in (published.file,) if published.file else FOLDER_WEIGHTS:
        found = try_to_load_from_cache(published.repo, file)
        if isinstance(found, str):
            return Path(found)
    return None


def fetch(published: Published, modelscope: bool = False) -> tuple[Path, Path]:
    """The weight file and the vocabulary beside it, from the cache or downloaded; HF_ENDPOINT and HF_HUB_OFFLINE count.

    ModelNotFound, with the way out, where neither the cache nor the network has them.
    """
    if modelscope:
        repo = f"AI-ModelScope/{published.repo.partition('/')[2]}"
        return download_modelscope(repo, published.file), download_modelscope(repo, "vocab.txt")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        weights = hf_hub_download(published.repo, published.file)
    except (OSError, HfHubHTTPError) as error:
        raise ModelNotFound(
            f"{published.repo}/{published.file} is not on this machine and cannot be fetched ({_first_line(error)}): "
            "check the network, set HF_ENDPOINT to a mirror, put ms: before the name to use ModelScope, or pass the "
            "path of a file you have"
        ) from None
    return Path(weights), vocabulary(published)


def vocabulary(published: Published) -> Path:
    """vocab.txt of a published repository, from the cache or downloaded; ModelNotFound otherwise."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    repo = published.words or published.repo
    try:
        return Path(hf_hub_download(repo, "vocab.txt"))
    except (OSError, HfHubHTTPError) as error:
        raise ModelNotFound(f"vocab.txt of {repo} cannot be fetched ({_first_line(error)})") from None


def folder(repo: str) -> Path:
    """A repository of the Hugging Face hub as a local folder (weights, config, tokenizer); ModelNotFound otherwise.

    Weights are fetched in one format only, see WEIGHT_PATTERNS.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        for pattern in WEIGHT_PATTERNS:
            fetched = Path(snapshot_download(repo, allow_patterns=[*SIDE_PATTERNS, pattern]))
            if any(fetched.glob(pattern)):
                break
    except (OSError, HfHubHTTPError) as error:
        raise ModelNotFound(
            f"{repo} is not on this machine and cannot be fetched ({_first_line(error)}): check the name and the "
            "network, set HF_ENDPOINT to a mirror, or pass the path of a folder you have"
        ) from None
    return fetched


def download_modelscope(repo: str, file: str) -> Path:
    """One file of a ModelScope repository, kept in ~/.cache/tuwen/modelscope; an interrupted download goes on.

    MODELSCOPE_ENDPOINT names another server, as in ModelScope's own client. ModelNotFound where it cannot be had.
    """
    target = modelscope_cache() / repo / file
    if target.is_file():
        return target
    endpoint = os.environ.get("MODELSCOPE_ENDPOINT", "https://modelscope.cn").rstrip("/")
    url = f"{endpoint}/models/{repo}/resolve/master/{quote(file)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    try:
        _download(url, partial)
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{url} cannot be fetched ({_first_line(error)})") from None
    partial.replace(target)
    return target


def modelscope_cache() -> Path:
    """Where files from ModelScope are kept: under XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tuwen" / "modelscope"


def _download(url: str, partial: Path) -> None:
    """Append what is missing of `url` to `partial`."""
    have = partial.stat().st_size if partial.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urlopen(request, timeout=60)
    except HTTPError as error:
        if (
            error.code == 416 and have
        ):  # nothing is missing: the last attempt ended between the last byte and the rename
            return
        raise
    with answer, partial.open("ab" if answer.status == 206 else "wb") as file:
        expected = answer.headers.get("Content-Length")
        received = 0
        while block := answer.read(1 << 20):
            file.write(block)
            received += len(block)
        if expected is not None and received != int(expected):
            raise OSError(f"the connection ended after {received:,} of {int(expected):,} bytes; try again to go on")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
