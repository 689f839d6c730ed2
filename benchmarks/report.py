"""The results as a page."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.cases import Row
from benchmarks.data import SIZES, Raced
from benchmarks.evaluation import PICTURES, SHARE, TEXTS, Compared
from benchmarks.fusion import PADDED, SAME, VQA_EDGE, Stored

PAGE = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pillow", "simplejpeg")

HEAD = """# Speed

How many times faster tuwen is than transformers' `ChineseCLIPModel` and `ChineseCLIPProcessor` (Pillow backend), used
as its model page shows, texts padded to the model's {length} tokens. Both sides have the same random weights of the
sizes ViT-B-16 and RoBERTa-wwm base, float32 unless a row says otherwise, and run in turns in one process; ratios are
medians of per-round ratios ({rounds} rounds), and each run asserts that the features of both sides agree.

Written by `make bench` (`python -m benchmarks`); for one case: `python -m benchmarks captions`. A run of all the cases
of a section, such as `python -m benchmarks brivl ernie`, on the same machine with the same packages, renews that
section alone.

{machine}
"""

TOWERS = """
## Two towers

| what | against | bar | CPU time, 1 thread | wall, 2 threads | ms per item, peer → tuwen | lowest cosine |
|---|---|---|---|---|---|---|
"""


def machine() -> str:
    """The machine and the versions, in one paragraph."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"Machine: {_processor()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, no GPU; "
        f"{platform.system()}, Python {platform.python_version()}, {packages}."
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", path.read_text(encoding="utf-8")) if path.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def line(row: Row) -> str:
    """One row of a table of comparisons."""
    bar = "" if row.bar is None else f"{row.bar:g}x"
    wall = "" if row.wall_ratio is None else f"{row.wall_ratio:.2f}x"
    return (
        f"| {row.what} | {row.peer} | {bar} | **{row.cpu_ratio:.2f}x** | {wall} | "
        f"{row.peer_ms:.1f} → {row.ours_ms:.1f} | {row.equal} |"
    )


def stored_line(stored: Stored) -> str:
    """One row of the table of states."""
    return (
        f"| {stored.dtype} | {stored.image_mb:.2f} MB | {stored.token_mb * 1000:.1f} kB | {stored.largest:.1e} | "
        f"{stored.mean:.1e} |"
    )


def compared_line(compared: Compared) -> str:
    """One row of the table of retrieval from files."""
    return (
        f"| {compared.what} | {compared.bar:g}x | **{compared.cpu_ratio:.1f}x** | {compared.wall_ratio:.1f}x | "
        f"{compared.peer_s:.1f} → {compared.ours_s:.2f} | {compared.lines} of {compared.lines} |"
    )


def raced_line(raced: Raced) -> str:
    """One row of the table of datasets."""
    bar = "" if raced.bar is None else f"{raced.bar:g}x"
    return (
        f"| {raced.what} | {bar} | **{raced.cpu_ratio:.2f}x** | {raced.wall_ratio:.2f}x | "
        f"{raced.peer_s:.2f} → {raced.ours_s:.2f} | {raced.equal} |"
    )


def towers_section(rows: Sequence[Row]) -> str:
    """Chinese-CLIP."""
    return TOWERS + _lines(map(line, rows))


def families_section(rows: Sequence[Row]) -> str:
    """BriVL and ERNIE-ViL 2.0."""
    return FAMILIES.format(same=f"{SAME:.0e}") + _lines(map(line, rows))


def fusion_section(rows: Sequence[Row], states: Sequence[Stored]) -> str:
    """BridgeTower and VLE, and what half precision does to their states."""
    head = FUSION.format(same=f"{SAME:.0e}", edge=VQA_EDGE, padded=PADDED)
    return head + _lines(map(line, rows)) + STATES + _lines(map(stored_line, states))


def retrieval_section(rows: Sequence[Compared]) -> str:
    """From files of features to the score."""
    return RETRIEVAL.format(pictures=PICTURES, texts=TEXTS, share=SHARE) + _lines(map(compared_line, rows))


def data_section(rows: Sequence[Raced]) -> str:
    """Chinese-CLIP's LMDBs."""
    sizes = " and ".join(f"{count:,} {what}" for what, (_, count) in SIZES.items())
    return DATA.format(sizes=sizes) + _lines(map(raced_line, rows))


def start_up_section(seconds: float) -> str:
    """Of the program."""
    return START_UP.format(seconds=seconds)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in lines)


def write(sections: Mapping[str, str], length: int, rounds: int) -> bool:
    """Write RESULTS.md beside this file with these sections, a name of ORDER each; others stay as they are there.

    False, and nothing is written, if some would stay that come from another machine or other packages.
    """
    kept: dict[str, str] = {}
    if set(sections) != set(ORDER):
        page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        if machine() not in page:
            return False
        kept = {part.split("\n", 2)[1]: part for part in re.split(r"(?m)^(?=\n## )", page)[1:]}
    parts = [sections.get(name, kept.get(title, "")) for name, title in ORDER.items()]
    head, notes = HEAD.format(machine=machine(), length=length, rounds=rounds), NOTES.format(edge=VQA_EDGE)
    PAGE.write_text("".join([head, *parts, notes]), encoding="utf-8")
    return True


# The sections of the page and their titles.
ORDER = {
    "towers": "## Two towers",
    "families": "## BriVL and ERNIE-ViL 2.0",
    "fusion": "## Pictures and texts that attend to each other",
    "retrieval": "## Retrieval from feature files to the score",
    "data": "## Chinese-CLIP's LMDBs",
    "start-up": "## Start-up",
}

FAMILIES = """
## BriVL and ERNIE-ViL 2.0

Against the same forward made of transformers' models, with the same random weights. BriVL: `EfficientNetModel`, every
box sampled as the original does it, and `BertModel`, each followed by torch's own small transformer; pictures with 36
boxes one by one, texts padded to 80 without a mask, one by one as in the original's script or in a batch as in a fork
of it. ERNIE-ViL 2.0: `CLIPVisionModel`, which is the same picture tower, and `ErnieModel`, texts padded to 48, batches
of 10, as its configuration has it. Each run asserts that no number of a feature of unit length differs by more than
{same}.

| what | against | bar | CPU time, 1 thread | wall, 2 threads | ms per item, peer → tuwen | largest difference |
|---|---|---|---|---|---|---|
"""

FUSION = """
## Pictures and texts that attend to each other

Against transformers' `BridgeTowerForImageAndTextRetrieval` used as its model page shows, one forward for each pair,
and its `DebertaV2Model`, with the same random weights; and VLE, which transformers does not have, against our own
forward that keeps nothing. Texts of 8 to 16 tokens, questions of 6 to 20. Each run asserts that no score (of DeBERTa:
no state of a real token) differs by more than {same}.

| what | against | bar | CPU time, 1 thread | wall, 2 threads | ms per item, peer → tuwen | largest difference |
|---|---|---|---|---|---|---|
"""

STATES = """
### States in half precision

What `State.to(dtype=...)` and `match(..., state_dtype=...)` save and cost: BridgeTower base, the 4 pictures and 16
texts of the first row above. The fusion computes in float32 whatever the states are stored in.

| states in | a picture | a token of a text | largest difference of a probability | mean |
|---|---|---|---|---|
"""

RETRIEVAL = """
## Retrieval from feature files to the score

{pictures:,} pictures and {texts:,} texts of 512 numbers: ten best pictures for each text, written as predictions, and
their recall, against what Chinese-CLIP's three scripts do, written plainly: JSON lines through the standard library,
for each text a pair of id and score of every picture, a sort of them all. The peer finds the best of one text in
{share} each round, which counts {share} times; what it does once, reading pictures and scoring, it does in full. Each
run asserts that every line of predictions that both have is the same, and the score.

| what | bar | CPU time, 1 thread | wall, 2 threads | s, peer → tuwen | equal lines |
|---|---|---|---|---|---|
"""


DATA = """
## Chinese-CLIP's LMDBs

Built from the raw files, and all samples read once, against plain loops in one process as in Chinese-CLIP's
`build_lmdb_dataset.py` and its training set; {sizes}, each with a text. "Build" is `tuwen data build --format
original`, "check and build" `tuwen data convert`, which looks at every row and its base64 first; "open, check and read"
looks at every pair first: the peer checks nothing. Each run asserts that all rows are the same.

| what | bar | CPU time, 1 processor | wall, 1 processor | s, peer → tuwen | equal |
|---|---|---|---|---|---|
"""

START_UP = """
## Start-up

`tuwen --help` takes {seconds:.2f} s in a fresh process (bar: 0.5 s).
"""

NOTES = """
## How to read this
- **CPU time, 1 thread** is the time of all threads of the process, pinned to one processor: the figure to trust,
  because other work on the machine hardly moves it. Milliseconds are of this run. **Wall, 2 threads** is what a person
  waits for.
- Texts are packed without padding, with one attention for each length, and the last layer computes the [CLS] token
  alone. oneDNN's product on a weight that was laid out once is used where a trial, once per process, finds it faster
  than torch's default: where it is not, expect about half of these ratios in float32.
- BriVL's BERT attends to the padding behind a text, so tuwen has to compute it, too: only what nothing reads and what
  is the same in every text is left out (the first layer's queries, keys and values of padding, the last layer's states
  of it, all of the small transformer). What remains is nine tenths products of matrices.
- "padded to the longest" is the peer with `padding=True`, which still pads most texts of a batch.
- `resize="exact"` gives the pixels of Pillow's decoder and resize, as the peer does, so only what surrounds these two
  can be faster. `resize="fast"` is an option: torch's resize, of which single values differ by a level or two.
- Texts are random characters, one token each, with the lengths of captions and of queries. Pictures are noise of every
  scale with edges, JPEG quality 88, 4:2:0.
- bfloat16 is compared with the peer's float32.
- Pairs: an item is one pair. The peer starts from prepared pixels and ids, tuwen from arrays and texts. tuwen computes
  every picture and every text once, and of the last layer only the tokens that the score is made from. The peer's work
  on pairs is cut into halves that take turns with tuwen's whole; two turns in all.
- BridgeTower large has 2 pictures instead of 4, which makes its ratio a little smaller, and VLE has pictures of {edge}
  pixels instead of 576: so a run takes minutes.
- "table projected each time" is tuwen with the projections of DeBERTa's table of distances forgotten before every call;
  the numbers are bit for bit the same.
"""
