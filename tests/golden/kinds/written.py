"""Published files written back from our tensors, bit for bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import ModuleType

from tests.golden.case import Expected
from tuwen import checkpoint, keymap
from tuwen.loading import load
from tuwen.model import Model


def check_written_back(expected: Expected, path: Path, model: Model, family: ModuleType) -> None:
    """A file or folder -> our names -> its own names: everything but what is never used, in the values it had.

    The model holds the same values, in the type that it computes in; saved and loaded it is the same model.
    """
    published = checkpoint.bare(checkpoint.read(path).tensors)
    form = family.recognise(published)
    assert form is not None
    strange = set(family.left_out(published, model.module.config))
    kept = {name: tensor for name, tensor in published.items() if name not in strange}
    ours, dropped = keymap.load(kept, family.KEYS[form], family.DROP, model.module.state_dict())
    back = keymap.store(ours, family.KEYS[form])
    wanted = {name: tensor for name, tensor in kept.items() if name not in dropped}
    expected.same(f"{path.name} names written back", sorted(back), sorted(wanted))
    expected.same(f"{path.name} written back", checkpoint.digest(back), checkpoint.digest(wanted))
    exact = {name: tensor.to(model.dtype) for name, tensor in ours.items()}
    expected.same(f"{path.name} in the model", checkpoint.digest(model.module.state_dict()), checkpoint.digest(exact))
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        again = load(folder, device="cpu")
    expected.same(f"{path.name} saved and loaded", again.fingerprint, model.fingerprint)
    expected.same(f"{path.name} config saved and loaded", again.module.config, model.module.config)
