"""The one line that a run ends with: its figures, what was published, how much there was and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuwen.cli import console

if TYPE_CHECKING:
    from tuwen.evaluate.runs import Run


def line(run: Run, named: bool = False) -> str:
    """t2i R@1 62.7 ±1.3 R@5 ... | reference 62.7 (paper) Δ 0.0 | 1,000 images, 5,000 texts | 48 s"""
    from tuwen.evaluate import figures

    said = []
    last = ""
    for name in figures.main_figures(run.task, run.figures):
        if "@" in name:
            continue
        title = figures.title(name)
        side, _, rest = title.partition(" ")
        if side in figures.SIDES:
            title, last = (rest, last) if side == last else (title, side)
        elif last:
            title = f"both {title}"
        said.append(f"{title} {figures.written(name, run.figures[name])}{half(run, name)}")
    counts = run.data["counts"]
    size = f"{console.amount(counts['pictures'], 'image')}, {console.amount(counts['texts'], 'text')}"
    parts = [" ".join(said) or "no figures", published(run), size, f"{run.seconds:.0f} s"]
    return (f"{run.model}: " if named else "") + " | ".join(filter(None, parts))


def half(run: Run, name: str) -> str:
    """±1.3, half of the interval; nothing of a figure without one."""
    from tuwen.evaluate import figures

    ends = run.intervals.get(name)
    return f" ±{figures.written(name, (ends[1] - ends[0]) / 2)}" if ends else ""


def published(run: Run) -> str:
    """reference 62.7 (paper) Δ 0.0, of the first figure that was published; without Δ where the data is another."""
    from tuwen.evaluate import figures

    known = (run.reference or {}).get("figures", {})
    both = [name for name in figures.main_figures(run.task, run.figures) if name in known]
    if run.reference is None or not both:
        return ""
    name = both[0]
    where = f"{run.reference['source']}, {run.reference['training']}"
    title = "" if name == figures.main_figures(run.task, run.figures)[0] else f"{figures.title(name)} "
    value = f"reference {title}{figures.written(name, known[name])} ({where})"
    if not run.reference["comparable"]:
        return f"{value}, on other data"
    return f"{value} Δ {figures.written(name, run.figures[name] - known[name], sign=True)}"
