"""Find a published model's files on this machine, or fetch them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuwen.errors import ModelNotFound

BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Published:
    """Where a published model comes from and what to expect of it.

    repo: on the Hugging Face hub, and under AI-ModelScope on ModelScope; file: the original's weight file there; parameters: exact
    count; image_size in pixels; embedding: width E of its features.
    """

    repo: str
    file: str
    parameters: int
    image_size: int
    embedding: int
    languages: tuple[str, ...] = ("zh",)
    tasks: tuple[str, ...] = ("embed", "search", "classify")


def bundled(name: str) -> Path | None:
    """The folder of a model that comes with the package."""
    folder = BUNDLED / name
    return folder if (folder / "config.json").is_file() else None


def cached(published: Published) -> Path | None:
    """The weight file in huggingface_hub's cache, if it was fetched before."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(published.repo, published.file)
    return Path(found) if isinstance(found, str) else None


def fetch(published: Published, modelscope: bool = False) -> tuple[Path, Path]:
    """The weight file and the vocabulary, from the cache or downloaded; honours HF_ENDPOINT and HF_HUB_OFFLINE.

    ModelNotFound, with the way out, where neither the cache nor the network has them.
    """
    if modelscope:
        return _fetch_from_modelscope(published)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        weights = hf_hub_download(published.repo, published.file)
        vocabulary = hf_hub_download(published.repo, "vocab.txt")
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ModelNotFound(
            f"{published.repo}/{published.file} is not on this machine and cannot be fetched ({_first_line(error)}): check the "
            "network, set HF_ENDPOINT to a mirror, put ms: before the name to use ModelScope, or pass the path of a file you have"
        ) from None
    return Path(weights), Path(vocabulary)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def folder(repo: str) -> Path:
    """A whole repository of the Hugging Face hub as a local folder (weights, config, tokenizer); ModelNotFound if it cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.safetensors", "*.bin", "*.json", "vocab.txt", "*.pt"]
    try:
        return Path(snapshot_download(repo, allow_patterns=wanted))
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ModelNotFound(f"the hub repository {repo} cannot be fetched ({_first_line(error)})") from None
