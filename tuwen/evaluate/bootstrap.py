"""How certain a figure is: intervals of one run, and of the difference between two, by drawing the queries anew.

The queries of each table are drawn with replacement, many times over, and a figure of each draw is made as the figure
itself is (Efron's percentile bootstrap). Queries about one picture, such as its five captions, stand and fall together:
in a table whose column `image` names the picture of each query, pictures are drawn, as many as there are, each with all
of its queries (the cluster bootstrap, Davison and Hinkley 1997, section 3.8), else single queries. Tables are drawn
apart from each other, each with a seed of its own, so that neither another table nor another figure changes what is
drawn.

Where all that is drawn has the same share of right answers, as at 0 and at 100 per cent, every draw is the same and
tells nothing: a mean of zeros and ones then has Wilson's score interval instead (Wilson 1927), with as many trials as
there are things to draw.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from tuwen.errors import InputError, UsageError
from tuwen.evaluate.scored import Made, Table, figures_of

Array = np.ndarray[Any, Any]

RESAMPLES = 1000
LEVEL = 0.95
DRAWN_AT_ONCE = 4_000_000  # numbers of queries, 8 bytes each
EQUAL = 1e-12  # shares that differ by less
PICTURE = "image"  # the column whose queries are drawn together


@dataclass(frozen=True)
class Difference:
    """One run minus another: of the figures, the interval of the draws, and how often they would say the opposite.

    p: two-sided, twice the share of draws in which the sign is another, at least 1 / (draws + 1).
    """

    value: float
    low: float
    high: float
    p: float


def intervals(
    queries: Mapping[str, Table],
    made: Mapping[str, Made],
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """figure -> (low, high), which hold `level` of the draws; for every figure that is made of queries.

    Of the figures that `wilson` names, its intervals.
    """
    _check(resamples, level)
    draws = drawn(queries, made, resamples, seed)
    return {name: _between(values, level) for name, values in draws.items()} | wilson(queries, made, level)


def wilson(
    queries: Mapping[str, Table], made: Mapping[str, Made], level: float = LEVEL
) -> dict[str, tuple[float, float]]:
    """figure -> (low, high), Wilson's score interval, of every mean of zeros and ones that all draws agree on.

    Trials are pictures where pictures are drawn, else queries. A mean of such figures alone, of which all draws agree,
    too, lies between the means of their ends, as if they were right and wrong together.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, how in made.items():
        if how.of:
            if all(part in found for part in how.of):
                low, high = np.mean([found[part] for part in how.of], axis=0)
                found[name] = (float(low), float(high))
        elif how.how != "median":
            values = _column(queries, how)
            if np.isin(values, (0, 1)).all():
                of = clusters(queries[how.table])
                of = np.arange(len(values)) if of is None else of
                shares = np.bincount(of, values) / np.bincount(of)
                if np.ptp(shares) < EQUAL:
                    found[name] = _wilson(float(values.mean()), len(shares), level)
    return found


def _wilson(share: float, trials: int, level: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low, high = ((middle + side * half) / (1 + z * z / trials) for side in (-1, 1))
    return (low if share > 0 else 0.0), (high if share < 1 else 1.0)


def drawn(
    queries: Mapping[str, Table], made: Mapping[str, Made], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Array]:
    """figure -> its value in each draw (resamples,)."""
    found: dict[str, Array] = {}
    tables: dict[str, list[str]] = {}
    for name, how in made.items():
        if not how.of:
            tables.setdefault(how.table, []).append(name)
    for table, names in tables.items():
        columns = {name: _column(queries, made[name]) for name in names}
        found |= _of_table(columns, clusters(queries[table]), made, resamples, _seed(seed, table))
    for name, how in made.items():
        if how.of:
            found[name] = np.mean([found[part] for part in how.of], axis=0)
    return {name: found[name] for name in made}


def differences(
    first: Mapping[str, Table],
    second: Mapping[str, Table],
    made: Mapping[str, Made],
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Difference]:
    """figure -> first minus second, both drawn with the same queries (the paired bootstrap).

    Queries are matched by id, those of one id in their order. InputError where the two did not answer the same ones.
    """
    _check(resamples, level)
    names = list(dict.fromkeys(how.table for how in made.values() if not how.of))
    ordered = {name: _matched(first[name], second[name], name) for name in names}
    for name, table in ordered.items():  # both are to be drawn alike
        table.pop(PICTURE, None)
        table |= {PICTURE: first[name][PICTURE]} if PICTURE in first[name] else {}
    own = drawn(first, made, resamples, seed)
    other = drawn(ordered, made, resamples, seed)
    figures, others = figures_of(dict(first), dict(made)), figures_of(ordered, dict(made))
    found = {}
    for name in made:
        draws = own[name] - other[name]
        value = figures[name] - others[name]
        against = np.count_nonzero(draws <= 0 if value > 0 else draws >= 0)
        p = 1.0 if value == 0 else min(1.0, 2 * (int(against) + 1) / (resamples + 1))
        found[name] = Difference(value, *_between(draws, level), p)
    return found


# -- one table --------------------------------------------------------------------------------------------------------


def clusters(table: Table) -> Array | None:
    """(Q,) the number of each query's picture, from 0 in their order; None where queries are drawn one by one."""
    if PICTURE not in table:
        return None
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(str(one), len(numbers)) for one in table[PICTURE]], dtype=np.int64)


def _of_table(
    columns: Mapping[str, Array], of: Array | None, made: Mapping[str, Made], resamples: int, seed: int
) -> dict[str, Array]:
    """The means, or medians, of columns of one table in each draw. of: the cluster of each query."""
    queries = len(next(iter(columns.values())))
    of = np.arange(queries) if of is None else of
    sizes = np.bincount(of)
    means = [name for name in columns if made[name].how != "median"]
    sums = {name: np.bincount(of, columns[name]) for name in means}
    values = np.stack(list(sums.values()), axis=1) if means else np.empty((len(sizes), 0))  # (C, F)
    parts: dict[str, list[Array]] = {name: [] for name in columns}
    for chosen in _draws(len(sizes), queries, resamples, seed):  # (b, C)
        often = _counts(chosen)
        found = often @ values / (often @ sizes)[:, None]  # (b, F)
        for place, name in enumerate(means):
            parts[name].append(found[:, place])
        for name in columns:
            if made[name].how == "median":
                parts[name].append(_medians(columns[name], often[:, of]))
    return {name: np.concatenate(found) for name, found in parts.items()}


def _medians(values: Array, often: Array) -> Array:
    """(b,) medians of values (Q,) that stand as often in each draw as `often` (b, Q) says."""
    order = np.argsort(values, kind="stable")
    until = np.cumsum(often[:, order], axis=1)  # how many there are up to each value
    total = until[:, -1:]
    middle = [(until <= place).sum(axis=1) for place in ((total - 1) // 2, total // 2)]
    found: Array = (values[order][middle[0]] + values[order][middle[1]]) / 2
    return found


def _draws(count: int, queries: int, resamples: int, seed: int) -> Iterator[Array]:
    """Numbers of the clusters of each draw, (b, C), some draws at a time; the same whatever that number is."""
    random = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // queries)
    for start in range(0, resamples, at_once):
        yield random.integers(0, count, size=(min(at_once, resamples - start), count))


def _counts(chosen: Array) -> Array:
    """How often each cluster is in each draw: (b, C) numbers -> (b, C) float64."""
    draws, count = chosen.shape
    flat = (chosen + np.arange(draws)[:, None] * count).ravel()
    return np.bincount(flat, minlength=draws * count).reshape(draws, count).astype(np.float64)


def _column(queries: Mapping[str, Table], how: Made) -> Array:
    values = np.asarray(queries[how.table][how.column], dtype=np.float64)
    if not len(values):
        raise InputError(f"the table {how.table} has no queries: there is nothing to draw from")
    return values


def _matched(first: Table, second: Table, name: str) -> Table:
    """The second table in the order of the first."""
    own, other = _keys(first), _keys(second)
    place = {key: number for number, key in enumerate(other)}
    shared = sum(key in place for key in own)
    if shared != len(own) or len(own) != len(other):
        raise InputError(
            f"the runs answered other queries ({name}: {len(own)} and {len(other)}, {shared} in both): compare runs of "
            "one set and split in which the same rows could be read"
        )
    order = np.array([place[key] for key in own], dtype=np.int64)
    return {
        column: values[order] if isinstance(values, np.ndarray) else [values[number] for number in order.tolist()]
        for column, values in second.items()
    }


def _keys(table: Table) -> list[tuple[str, int]]:
    """The id of each row, and which one of that id it is."""
    seen: dict[str, int] = {}
    keys = []
    for one in table["id"]:
        id_ = str(one)
        keys.append((id_, seen.get(id_, 0)))
        seen[id_] = seen.get(id_, 0) + 1
    return keys


def _between(values: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _seed(seed: int, table: str) -> int:
    return (seed << 32) + zlib.crc32(table.encode())


def _check(resamples: int, level: float) -> None:
    if resamples < 1:
        raise UsageError(f"resamples is {resamples}: it must be at least 1")
    if not 0 < level < 1:
        raise UsageError(f"level is {level}: it must be between 0 and 1")
