"""Ids by place and places by id; whole numbers for ids that are none."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.data.ids import Ids, key_of
from tuwen.data.numbered import Numbers, is_number, rows

SOME = st.lists(st.one_of(st.integers(0, 50).map(str), st.text(max_size=3), st.just("007")), max_size=40)


@given(SOME, st.text(max_size=2))
def test_ids_are_a_list_and_a_dict(given_ids: list[str], other: str) -> None:
    given_ids = [id.encode("utf-8", "ignore").decode() for id in given_ids]
    ids = Ids(given_ids)
    last = {id: place for place, id in enumerate(given_ids)}
    assert list(ids) == given_ids
    assert [ids[place] for place in range(len(ids))] == given_ids
    assert {id: ids.place(id) for id in given_ids} == last
    assert (other in ids) == (other in last)
    keys = np.array([key_of(id.encode()) for id in [*given_ids, other]], dtype=np.uint64)
    assert ids.has(keys).tolist() == [*[True] * len(given_ids), other in last]
    repeated = ids.repeated()
    assert all(given_ids[first] == given_ids[second] and first < second for first, second in repeated)
    assert len(repeated) == len(given_ids) - len(last)
    assert list(ids.without(first for first, _ in repeated)) == [
        id for place, id in enumerate(given_ids) if last[id] == place
    ]


def test_ids_grow_after_they_were_looked_up_and_travel() -> None:
    ids = Ids(["a", "1"])
    assert ids.place("b") is None
    ids.add(b"b")
    assert pickle.loads(pickle.dumps(ids)).place("b") == 2
    assert 1 not in ids


def test_numbers_and_texts_do_not_share_keys() -> None:
    names = ["7", "07", "", "-7", str(2**62), str(2**62 - 1), "10" * 9, "7 "]
    assert len({key_of(name.encode()) for name in names}) == len(names)


def test_ids_that_are_numbers_stay_and_others_are_numbered() -> None:
    assert [Numbers(["5", "30"])(id) for id in ("30", "5")] == [30, 5]
    numbers = Numbers(["5", "a\tb"])
    assert numbers.given
    assert [numbers(id) for id in ("5", "a\tb")] == [0, 1]
    assert list(rows(["5", "a\tb"])) == [b"0\t5\n", b"1\ta b\n"]
    with pytest.raises(KeyError):
        numbers("c")


@pytest.mark.parametrize("id", ["", "-1", "01", "1.0", "١", "1" * 19, " 1"])
def test_what_would_not_come_back_the_same_is_no_number(id: str) -> None:
    assert not is_number(id)


@given(SOME, SOME)
def test_several_at_once_are_the_same_as_one_by_one(first: list[str], others: list[str]) -> None:
    one, several = Ids(first), Ids(first)
    raws = [id.encode("utf-8", "ignore") for id in others]
    for raw in raws:
        one.add(raw)
    several.extend(raws)
    assert list(several) == list(one)
    assert [several.place(id) for id in one] == [one.place(id) for id in one]
    assert several.repeated() == one.repeated()
    assert several.all_numbers == all(map(is_number, one))


@pytest.mark.parametrize("id", ["00", "01", "1_0", " 1", "+1", "٣", "1" * 19, "", "-1"])
def test_what_int_would_take_for_a_number_is_none(id: str) -> None:
    ids = Ids()
    ids.extend([b"7", id.encode()])
    assert not ids.all_numbers
    assert ids.place(id) == 1
    assert ids.place("7") == 0
    assert ids.place("0") is None
