"""Runs: what one model reached on one set, with intervals, a row per query beside it, and all that it hangs on."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuwen.checkpoint import replacing
from tuwen.errors import InputError
from tuwen.evaluate import bootstrap
from tuwen.evaluate.environment import environment
from tuwen.evaluate.scored import Made, Scored, Table

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model

FORMAT = 1
SHOWN_FAILURES = 100  # of a dataset that a run's file names


@dataclass(frozen=True)
class Run:
    """One model on one set.

    task: as of Scored; set, split: names for people; models: what was evaluated, one entry each (name, family,
    fingerprint, parameters, ...); data: format, kind, path, counts, fingerprint; options: what was asked for beyond the
    defaults; figures, made, notes: as of Scored; intervals: figure -> [low, high], of `level`; reference: what was
    published for this model and set, if anything; bootstrap: how these intervals were drawn, from how many pictures in
    tables where several queries are about one, and as "wilson" the figures whose interval is Wilson's, since all draws
    agree; tables: name -> its file beside the run's.
    """

    task: str
    set: str
    split: str
    models: list[dict[str, Any]]
    data: dict[str, Any]
    options: dict[str, Any]
    figures: dict[str, float]
    intervals: dict[str, list[float]]
    made: dict[str, Made]
    seconds: float
    notes: list[str] = field(default_factory=list)
    failures: list[list[str]] = field(default_factory=list)
    failed: int = 0
    reference: dict[str, Any] | None = None
    bootstrap: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    finished: str = ""
    tables: dict[str, str] = field(default_factory=dict)
    path: Path = Path()

    @property
    def model(self) -> str:
        """The name for people, of two models that worked together both."""
        return " + ".join(str(one["name"]) for one in self.models)

    @property
    def identity(self) -> str:
        """What tells its models from others, also from such with their name."""
        return " ".join([self.model, *(f"{one['fingerprint']} {one['dtype']}" for one in self.models)])

    @property
    def stem(self) -> str:
        """The name of its files without their endings."""
        return stem(self.task, self.set, self.split, self.models, self.data, self.options)

    def queries(self) -> dict[str, Table]:
        """The rows per query; InputError where their files are gone."""
        return {name: _read_table(self.path.parent / file) for name, file in self.tables.items()}


def run_of(
    scored: Scored,
    models: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    set: str,
    split: str,
    options: Mapping[str, Any],
    seconds: float,
    failures: Sequence[tuple[str, str]] = (),
    reference: Mapping[str, Any] | None = None,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Run:
    """A run, with intervals drawn from its queries; failures: (name, reason) of what could not be used."""
    between = bootstrap.intervals(scored.queries, scored.made, resamples, seed=seed) if scored.made else {}
    return Run(
        task=scored.task,
        set=set,
        split=split,
        models=[dict(one) for one in models],
        data=dict(data),
        options=dict(options),
        figures=dict(scored.figures),
        intervals={name: list(ends) for name, ends in between.items()},
        made=dict(scored.made),
        seconds=round(seconds, 2),
        notes=list(scored.notes),
        failures=[list(one) for one in failures[:SHOWN_FAILURES]],
        failed=len(failures),
        reference=dict(reference) if reference else None,
        bootstrap={
            "resamples": resamples,
            "level": bootstrap.LEVEL,
            "seed": seed,
            "pictures": _drawn(scored),
            "wilson": list(bootstrap.wilson(scored.queries, scored.made)),
        },
        environment=environment(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _drawn(scored: Scored) -> dict[str, int]:
    """Tables whose pictures are drawn, each with all of its queries -> how many pictures there are."""
    drawn = {how.table for how in scored.made.values() if not how.of}
    of = {name: bootstrap.clusters(table) for name, table in scored.queries.items() if name in drawn}
    return {name: int(numbers.max()) + 1 for name, numbers in of.items() if numbers is not None}


# -- what a run hangs on ----------------------------------------------------------------------------------------------


def of_model(model: Model, name: str, source: str = "") -> dict[str, Any]:
    """What a run says of a model. name: for people; source: what it was loaded from."""
    return {
        "name": name,
        "source": source or name,
        "family": model.family,
        "variant": model.variant,
        "fingerprint": model.fingerprint,
        "parameters": sum(parameter.numel() for parameter in model.module.parameters()),
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def of_data(dataset: Dataset) -> dict[str, Any]:
    """What a run says of a dataset. Its fingerprint is of ids, texts, and all else that its rows say, not of pictures:
    runs over copies of one set may be compared."""
    digest = hashlib.sha256(f"{dataset.kind}\n".encode())
    pairs = 0
    for text in dataset.texts:
        row = [text.id, text.text, *text.image_ids]
        digest.update(json.dumps([row, text.columns], sort_keys=True, default=str, ensure_ascii=False).encode())
        pairs += len(text.image_ids)
    for image_id in dataset.pictures:
        digest.update(f"\n{image_id}".encode())
    return {
        "format": dataset.format,
        "kind": dataset.kind,
        "path": str(dataset.path),
        "counts": {"pictures": len(dataset.pictures), "texts": len(dataset.texts), "pairs": pairs},
        "fingerprint": digest.hexdigest()[:16],
    }


def stem(
    task: str,
    set: str,
    split: str,
    models: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    options: Mapping[str, Any],
) -> str:
    """SET-SPLIT.TASK.MODEL.DIGEST: another model, other data or other options have another name."""
    parts = [[one["fingerprint"], one["dtype"]] for one in models]
    told = json.dumps([parts, data["fingerprint"], options], sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    named = "+".join(str(one["name"]) for one in models)
    return ".".join(map(_plain, (f"{set}-{split}" if split else set, task, named, digest)))


def _plain(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w+@-]+", "-", name).strip("-") or "-"


# -- files ------------------------------------------------------------------------------------------------------------


def write(folder: Path, run: Run, queries: Mapping[str, Table]) -> Run:
    """The run with its files in the folder: STEM.json last, so that a run that is there is whole.

    The rows per query are Parquet files, or JSON lines where pyarrow is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ending = "parquet" if importlib.util.find_spec("pyarrow") else "jsonl"
    tables = {name: f"{run.stem}.{_plain(name)}.{ending}" for name in queries}
    for name, table in queries.items():
        with replacing(folder / tables[name]) as temporary:
            _write_table(temporary, table, ending)
    path = folder / f"{run.stem}.json"
    content = {"format": FORMAT, **asdict(run), "tables": tables}
    del content["path"]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return read(path)


def read(path: Path) -> Run:
    """One run. InputError for a file that is none."""
    content = _content(path)
    if content is None:
        raise InputError(f"{path} is no run: expected a JSON file that `tuwen eval ... -o` has written")
    if content.pop("format") != FORMAT:
        raise InputError(f"{path} was written by another version of tuwen: evaluate again")
    made = {name: Made(**{**how, "of": tuple(how["of"])}) for name, how in content.pop("made").items()}
    return Run(**content, made=made, path=path)


def find(places: Iterable[Path]) -> list[Run]:
    """All runs in files and folders, also below them, by name. InputError where there are none."""
    found: dict[Path, Run] = {}
    given = [place.expanduser() for place in places]
    for place in given:
        if not place.exists():
            raise InputError(f"there is nothing at {place}: expected runs, as `tuwen eval ... -o {place}` writes them")
        for file in sorted(place.rglob("*.json")) if place.is_dir() else [place]:
            if place.is_file() or _content(file) is not None:
                found.setdefault(file.resolve(), read(file))
    if not found:
        raise InputError(f"there are no runs in {', '.join(map(str, given))}: `tuwen eval ... -o` writes them")
    return list(found.values())


def _content(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError:
        return None
    needed = {"format", "task", "figures", "made", "models"}
    return content if isinstance(content, dict) and needed <= content.keys() else None


def _write_table(path: Path, table: Table, ending: str) -> None:
    if ending == "parquet":
        from tuwen.data import columns

        columns.write(path, table)
        return
    names = list(table)
    plain = [values.tolist() if isinstance(values, np.ndarray) else values for values in table.values()]
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in zip(*plain, strict=True):
            file.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")


def _read_table(path: Path) -> Table:
    if not path.is_file():
        raise InputError(f"{path} is not there: it belongs to the run, keep the files of a run together")
    if path.suffix == ".parquet":
        from tuwen.data import columns

        return columns.read(path)
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    table: Table = {}
    for name in rows[0] if rows else {}:
        values = [row[name] for row in rows]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        table[name] = np.array(values) if numbers else values
    return table


def labels(found: Sequence[Run]) -> list[str]:
    """The models of runs for people: their names, with fingerprint and precision where others share the name."""
    sharing: dict[str, set[str]] = {}
    for run in found:
        sharing.setdefault(run.model, set()).add(run.identity)
    return [
        run.model
        if len(sharing[run.model]) == 1
        else f"{run.model} ({', '.join(str(one['fingerprint'])[:6] for one in run.models)}, {run.models[0]['dtype']})"
        for run in found
    ]


# -- two runs ---------------------------------------------------------------------------------------------------------


def compare(
    first: Run,
    second: Run,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    tables: dict[int, dict[str, Table]] | None = None,
) -> dict[str, bootstrap.Difference]:
    """figure -> first minus second, by the paired bootstrap, of the figures that both have.

    tables: keeps what was read of runs, by id(run), for those who compare many. InputError unless they are of one task
    and answered the same queries.
    """
    if first.task != second.task:
        raise InputError(f"{first.path.name} is of {first.task}, {second.path.name} of {second.task}: compare one task")
    made = shared(first.made, second.made)
    if not made:
        raise InputError(f"{first.path.name} and {second.path.name} have no figure in common that is made of queries")
    kept = {} if tables is None else tables
    for run in (first, second):
        if id(run) not in kept:
            kept[id(run)] = run.queries()
    return bootstrap.differences(kept[id(first)], kept[id(second)], made, resamples, seed=seed)


def shared(first: Mapping[str, Made], second: Mapping[str, Made]) -> dict[str, Made]:
    """What both have made in the same way, with all that it is made of."""
    both = {name: how for name, how in first.items() if second.get(name) == how}
    return {name: how for name, how in both.items() if all(part in both for part in how.of)}
