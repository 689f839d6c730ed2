from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tuwen.errors import CheckpointError, UsageError
from tuwen.keymap import Key, Split, Stack, Transpose, describe_mismatch, load, several, store

BLOCK = "visual.transformer.resblocks.{i}"
QKV = tuple(f"image.blocks.{{i}}.{name}.{{w}}" for name in ("query", "key", "value"))
KEYS = (
    Key("text_projection", "text_projection", Transpose()),
    Key("visual.conv1.weight", "image.patches.weight"),
    Key(f"{BLOCK}.attn.in_proj_{{w}}", QKV),
    Key(f"{BLOCK}.ln_1.{{w}}", "image.blocks.{i}.norm.{w}"),
    Key("visual.layer{i}.{j}.bn1.{w}", "image.stages.{i}.{j}.norm.{w}"),
    Key(
        tuple(f"bert.encoder.layer.{{i}}.attention.self.{name}.{{w}}" for name in ("query", "key", "value")),
        "text.blocks.{i}.attention.joined.{w}",
    ),
)
DROP = ("bert.pooler.dense.{w}",)


def published() -> dict[str, Tensor]:
    """Tensors in the order of a published file."""
    tensors = {"text_projection": torch.randn(4, 3), "visual.conv1.weight": torch.randn(4, 3, 2, 2)}
    for layer in range(11):
        block = f"visual.transformer.resblocks.{layer}"
        tensors[f"{block}.attn.in_proj_weight"] = torch.randn(12, 4)
        tensors[f"{block}.attn.in_proj_bias"] = torch.randn(12)
        tensors[f"{block}.ln_1.weight"] = torch.randn(4)
        tensors[f"{block}.ln_1.bias"] = torch.randn(4).half()
    for stage, depth in ((1, 0), (1, 1), (2, 0)):
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"visual.layer{stage}.{depth}.bn1.{name}"] = torch.randn(2)
        tensors[f"visual.layer{stage}.{depth}.bn1.num_batches_tracked"] = torch.tensor(7)
    for layer in range(2):
        for name in ("query", "key", "value"):
            tensors[f"bert.encoder.layer.{layer}.attention.self.{name}.weight"] = torch.randn(3, 3)
            tensors[f"bert.encoder.layer.{layer}.attention.self.{name}.bias"] = torch.randn(3)
    return tensors


def test_there_and_back_keeps_every_bit_name_and_place() -> None:
    theirs = published()
    ours, dropped = load(theirs, KEYS)
    back = store(ours, KEYS)
    assert dropped == [] and list(back) == list(theirs)
    for name, tensor in theirs.items():
        assert back[name].dtype == tensor.dtype and torch.equal(back[name], tensor), name


def test_the_order_of_the_file_does_not_matter() -> None:
    theirs = published()
    ours, _ = load(dict(reversed(theirs.items())), KEYS)
    assert list(ours) == list(load(theirs, KEYS)[0])
    assert list(store(dict(reversed(ours.items())), KEYS)) == list(theirs)


def test_values_arrive_changed_and_under_our_names() -> None:
    theirs = published()
    ours, _ = load(theirs, KEYS)
    assert torch.equal(ours["text_projection"], theirs["text_projection"].T)
    joined = theirs["visual.transformer.resblocks.10.attn.in_proj_weight"]
    assert torch.equal(ours["image.blocks.10.key.weight"], joined[4:8])
    names = [f"bert.encoder.layer.1.attention.self.{name}.bias" for name in ("query", "key", "value")]
    assert torch.equal(ours["text.blocks.1.attention.joined.bias"], torch.cat([theirs[name] for name in names]))
    assert ours["image.stages.2.0.norm.num_batches_tracked"] == 7


def test_only_joined_rows_take_new_memory() -> None:
    theirs = published()
    ours, _ = load(theirs, KEYS)
    owned = {tensor.untyped_storage().data_ptr() for tensor in theirs.values()}
    new = {name for name, tensor in ours.items() if tensor.untyped_storage().data_ptr() not in owned}
    assert new == {f"text.blocks.{i}.attention.joined.{w}" for i in range(2) for w in ("weight", "bias")}


def test_dropped_tensors_are_named() -> None:
    theirs = {**published(), "bert.pooler.dense.weight": torch.ones(1), "bert.pooler.dense.bias": torch.ones(1)}
    ours, dropped = load(theirs, KEYS, DROP)
    assert dropped == ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]
    assert not any("pooler" in name for name in ours)


def test_tensors_without_a_row_are_counted_and_the_first_five_named() -> None:
    theirs = published() | {f"new.{n}": torch.ones(1) for n in range(9)}
    with pytest.raises(CheckpointError, match=r"9 of 82 tensors .*new\.0, new\.1, new\.2, new\.3, new\.4 and 4 more;"):
        load(theirs, KEYS)


@pytest.mark.parametrize("name", ["visual.conv1.bias", "visual.layer01.0.bn1.weight", "x.text_projection"])
def test_a_name_that_only_resembles_a_row_is_not_placed(name: str) -> None:
    with pytest.raises(CheckpointError, match="1 of 1 tensors have no place"):
        load({name: torch.ones(1)}, KEYS)


def test_a_missing_member_of_a_row_is_named() -> None:
    theirs = published()
    del theirs["bert.encoder.layer.1.attention.self.key.bias"]
    with pytest.raises(CheckpointError, match=r"missing: bert\.encoder\.layer\.1\.attention\.self\.key\.bias;"):
        load(theirs, KEYS)
    ours, _ = load(published(), KEYS)
    del ours["image.blocks.3.value.weight"]
    with pytest.raises(CheckpointError, match=r"missing: image\.blocks\.3\.value\.weight;"):
        store(ours, KEYS)


def test_what_the_model_expects_must_come_and_nothing_else() -> None:
    theirs = published()
    ours, _ = load(theirs, KEYS)
    assert load(theirs, KEYS, expected=ours)[0].keys() == ours.keys()
    with pytest.raises(CheckpointError, match=r"1 missing: image\.blocks\.11\.norm\.weight; choose the variant"):
        load(theirs, KEYS, expected=[*ours, "image.blocks.11.norm.weight"])
    with pytest.raises(CheckpointError, match=r"2 without a place in the model: image\.blocks\.10"):
        load(theirs, KEYS, expected=[name for name in ours if not name.startswith("image.blocks.10.norm")])


def test_our_tensors_without_a_row_are_refused_when_storing() -> None:
    with pytest.raises(CheckpointError, match="1 of 1 tensors have no place: head"):
        store({"head": torch.ones(1)}, KEYS)


def test_two_spellings_may_lead_to_one_name_and_the_first_leads_back() -> None:
    keys = (Key("a.{w}", "ours.{w}"), Key("b.{w}", "ours.{w}"))
    assert list(load({"b.bias": torch.ones(1)}, keys)[0]) == ["ours.bias"]
    assert list(store({"ours.bias": torch.ones(1)}, keys)) == ["a.bias"]
    with pytest.raises(CheckpointError, match=r"b\.bias would become ours\.bias, which another tensor already is"):
        load({"a.bias": torch.ones(1), "b.bias": torch.ones(1)}, keys)


def test_a_name_that_fits_two_rows_is_a_mistake_in_the_table() -> None:
    keys = (Key("a.{w}", "x.{w}"), Key("a.weight", "y"))
    with pytest.raises(UsageError, match=r"a\.weight fits 2 rows"):
        load({"a.weight": torch.ones(1)}, keys)


def test_rows_that_do_not_split_are_named() -> None:
    with pytest.raises(CheckpointError, match=r"in_proj_bias: shape \(10,\) does not split into 3 equal parts"):
        load({"visual.transformer.resblocks.0.attn.in_proj_bias": torch.ones(10)}, KEYS)


@pytest.mark.parametrize("ours", ["b", "b.{j}", "b.{i}.{w}", ("b.{i}", "c")])
def test_both_sides_of_a_row_use_the_same_wildcards(ours: str | tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="same wildcards"):
        Key("a.{i}", ours)


def test_there_are_no_other_wildcards() -> None:
    with pytest.raises(UsageError, match=r"\{name\} is no wildcard"):
        Key("a.{name}", "b.{name}")
    with pytest.raises(UsageError, match=r"\{x\} is no wildcard"):
        load({}, KEYS, ("a.{x}",))


def test_several_to_several_needs_its_own_change() -> None:
    with pytest.raises(UsageError, match="several to several"):
        Key(("a", "b"), ("c", "d"))


def test_stack_and_split_are_each_others_way_back() -> None:
    parts = [torch.randn(2, 3) for _ in range(3)]
    (whole,) = Stack(3).forward(parts)
    assert all(map(torch.equal, Stack(3).back([whole]), parts))
    assert all(map(torch.equal, Split(3).forward([whole]), parts))
    assert torch.equal(Split(3).back(parts)[0], whole)


def test_a_mismatch_is_described_in_one_sentence() -> None:
    module = {"a": (2, 3), "b": (4,), "c": (1,)}
    assert describe_mismatch(module, module) == ""
    found = describe_mismatch({"a": (2, 2), "b": torch.Size([4]), "d": ()}, module)
    assert found == "1 missing: c; 1 without a place in the model: d; 1 of another shape: a (2, 2) instead of (2, 3)"


def test_several_names_are_cut_after_five() -> None:
    assert several(["a"]) == "a"
    assert several(list("abcdefg")) == "a, b, c, d, e and 2 more"
