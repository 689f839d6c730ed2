"""The original's numbers, case by case. `pytest tests/golden --golden DIR` runs the cases of another folder instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.golden.case import Case, Expected, find_cases, same_files
from tests.golden.kinds import CHECKS

KEPT = Path(__file__).parent / "cases"
# A larger collection, where one lies beside the checkout. Only the kept cases travel with the repository.
SHARED = Path(__file__).parents[3] / "shared" / "golden"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    given = metafunc.config.getoption("--golden")
    metafunc.parametrize("case", here() if given is None else there(Path(given)))


def here() -> list[Any]:
    """The kept cases and those of the larger collection that differ from them.

    Of the cases that nothing handles yet a line for each family is reported: they wait for their family or kind.
    """
    kept = find_cases(KEPT)
    known = {str(case): case for case in kept}
    others = [
        case
        for case in (find_cases(SHARED) if SHARED.is_dir() else [])
        if str(case) not in known or not same_files(case.path, known[str(case)].path)
    ]
    handled = [parameter(case) for case in kept + others if is_handled(case)]
    unhandled = [case for case in kept + others if not is_handled(case)]
    for family in sorted({case.family for case in unhandled}):
        cases = [case for case in unhandled if case.family == family]
        kinds = sorted({case.kind or "without a name" for case in cases})
        reason = f"no test handles {len(cases)} cases of {family} yet, kinds: {', '.join(kinds)}"
        handled.append(pytest.param(None, id=f"{family}/unhandled", marks=pytest.mark.skip(reason=reason)))
    return handled


def there(folder: Path) -> list[Any]:
    """The cases of a folder that somebody asked for, every one of them reported."""
    cases = find_cases(folder) if folder.is_dir() else []
    if not cases:
        raise pytest.UsageError(f"--golden {folder} holds no case: a case is a folder with a case.json")
    return [parameter(case) for case in cases]


def is_handled(case: Case) -> bool:
    """Whether a check for its kind exists; a case that cannot even say its kind must fail, so it counts as handled."""
    return bool(case.problem) or (case.family, case.kind) in CHECKS


def parameter(case: Case) -> Any:
    reason = f"no test handles kind {case.kind or 'without a name'} of {case.family} yet"
    return pytest.param(case, id=str(case), marks=() if is_handled(case) else pytest.mark.skip(reason=reason))


def test_the_numbers_are_the_originals(case: Case) -> None:
    if case.problem:
        raise AssertionError(f"{case.path}: {case.problem}")
    expected = Expected(case)
    CHECKS[case.family, case.kind](case, expected)
    expected.finish()
