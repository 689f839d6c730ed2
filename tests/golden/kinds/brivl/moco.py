"""Pretraining steps with queues and momentum twins: losses, keys, gradients, and what the steps leave behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.nn import functional as F

from tests.golden.case import Case, Expected, read_case
from tests.golden.kinds.brivl.towers import load, module_of
from tuwen import checkpoint, keymap
from tuwen.checkpoint import bare
from tuwen.losses import queue_logits
from tuwen.models import brivl
from tuwen.nn.attention import Attention
from tuwen.tasks.momentum import Momentum
from tuwen.types import Images, Texts

Found = dict[str, Any]


def check(case: Case, expected: Expected) -> None:
    for mode in case.settings["modes"]:
        found = in_processes(case, mode)
        values = expected.value(mode)
        expected.same(f"{mode}.trainable", found["trainable"], values["trainable"])
        expected.same(f"{mode}.frozen_count", found["frozen_count"], values["frozen_count"])
        expected.same(f"{mode}.num_batches_tracked", found["num_batches_tracked"], values["num_batches_tracked"])
        for step in range(case.settings["steps"]):
            start = f"{mode}.step{step}."
            for key in expected.keys(start):
                expected.close(key, found[key])
            expected.same(f"{start}ptr", found[f"{start}ptr"], values[f"{start}ptr"])
            compare_norms(expected, start, found[f"{start}grad_norms"], values[f"{start}grad_norms"])


def compare_norms(expected: Expected, start: str, ours: dict[str, float], theirs: dict[str, float]) -> None:
    """All of them as one tensor, whose largest sets the tolerance, as everywhere in these cases."""
    expected.same(f"{start}grad_norms names", sorted(ours), sorted(theirs))
    names = sorted(ours.keys() & theirs.keys())
    found, wanted = (torch.tensor([norms[name] for name in names]).double() for norms in (ours, theirs))
    expected.compare(f"{start}grad_norms", found, wanted, expected.atol, expected.rtol)


def in_processes(case: Case, mode: str) -> Found:
    """What the first process finds, of as many as the case had."""
    count = case.settings["world_size"]
    if count == 1:
        return steps(case, mode, 0)
    with tempfile.TemporaryDirectory() as folder:
        spawn(one_of_several, args=(str(case.path), mode, folder, count), nprocs=count)
        found: Found = torch.load(Path(folder) / "0.pt", weights_only=True)
    return found


def one_of_several(rank: int, path: str, mode: str, folder: str, count: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    torch.save(steps(read_case(Path(path)), mode, rank), Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def steps(case: Case, mode: str, rank: int) -> Found:
    """All steps of one mode in one process."""
    given = load_file(case.path / case.settings["inputs"])
    task = started(case, given)
    task.train(mode == "train")
    for module in task.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0
        if isinstance(module, Attention):
            module.dropout = 0
    optimizer_settings = case.settings["optimizer"]
    trained = [parameter for parameter in task.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=optimizer_settings["lr"], momentum=optimizer_settings["momentum"])
    orders = load_file(case.path / "expected.safetensors")
    batch = case.settings["batch_per_rank"]
    names = published(task)
    own = {name for name, tensor in names.items() if "_mom." not in name}
    trainable = sorted(f"learnable.{name}" for name in own if names[name].requires_grad)
    found: Found = {"trainable": trainable, "frozen_count": len(names) - len(trainable)}
    # There the twins move at the beginning of a step; here at its end, which is before the next.
    task.follow()
    for step in range(case.settings["steps"]):
        start = f"{mode}.step{step}."
        order = (orders[f"{start}perm.image"], orders[f"{start}perm.text"])
        images, texts = inputs(given, f"step{step}.", slice(rank * batch, (rank + 1) * batch))
        optimizer.zero_grad()
        found |= {f"{start}{key}": value for key, value in one_step(task, images, texts, order, rank).items()}
        optimizer.step()
        states = {**keymap.store(task.model.state_dict(), brivl.KEYS["original"]), **twins_state(task)}
        found |= {f"{start}after.{name}": tensor.clone() for name, tensor in states.items()}
        task.after_step()
        found |= {
            f"{start}img_queue": task.image_queue.rows.T.clone(),
            f"{start}text_queue": task.text_queue.rows.T.clone(),
        }
        found[f"{start}ptr"] = [int(task.image_queue.place), int(task.text_queue.place)]
    counter = "backbone.bn1.num_batches_tracked"
    counts = {name: int(states[f"{name}.{counter}"]) for name in ("imgencoder", "imgencoder_mom")}
    return found | {"num_batches_tracked": counts}


def started(case: Case, given: dict[str, Tensor]) -> Momentum:
    settings = brivl.read_yaml(case.path / case.settings["cfg"])["MODEL"]
    model = module_of(load(case))
    brivl.freeze(model)
    task = Momentum(
        model,
        settings["QUEUE_SIZE"],
        settings["MOMENTUM"],
        settings["TEMPERATURE"],
        case.settings["multi_label"],
        settings["TOPK"],
        mask_stays=True,
    )
    twins = brivl.momentum(bare(checkpoint.read(case.path / case.settings["checkpoint"]).tensors))
    ours, _ = keymap.load(twins, brivl.KEYS["original"], brivl.DROP, task.twin.state_dict())
    task.twin.load_state_dict(ours)
    for queue, name in ((task.image_queue, "img_queue"), (task.text_queue, "text_queue")):
        queue.rows.copy_(given[name].T)
        queue.place.fill_(int(given["queue_ptr"]))
    return task


def inputs(given: dict[str, Tensor], start: str, rows: slice) -> tuple[Images, Texts]:
    pixels, boxes, ids = (given[start + name][rows] for name in ("pixel_values", "image_boxs", "input_ids"))
    counts, lengths = (given[start + name].reshape(-1, 1)[rows] for name in ("img_len", "text_len"))
    box_mask = torch.arange(boxes.shape[1]) < counts
    mask = torch.arange(ids.shape[1]) < lengths
    return Images(pixels, None, boxes, box_mask), Texts(ids, mask)


def one_step(task: Momentum, images: Images, texts: Texts, orders: tuple[Tensor, Tensor], rank: int) -> Found:
    """Forward and backward, with what the four encoders gave on the way."""
    raw: dict[str, Tensor] = {}
    encoders: dict[str, Any] = {"imgencoder": task.model.image, "textencoder": task.model.text}
    encoders |= {"imgencoder_mom": task.twin.image, "textencoder_mom": task.twin.text}
    hooks = [module.register_forward_hook(kept(raw, name)) for name, module in encoders.items()]
    loss, _ = task(images, texts, orders)
    loss.backward()
    for hook in hooks:
        hook.remove()
    own = slice(rank * len(images.pixels), (rank + 1) * len(images.pixels))
    image_keys, text_keys = (keys[own] for keys in task._fresh[-1])
    image, text = (F.normalize(raw[name], dim=-1) for name in ("imgencoder", "textencoder"))
    gradients = {name: p.grad for name, p in task.model.named_parameters() if p.grad is not None}
    named = {f"learnable.{name}": g for name, g in keymap.store(gradients, brivl.KEYS["original"]).items()}
    return {
        "loss": loss.detach().reshape(1),
        "i2t_logits": queue_logits(image, text_keys, task.text_queue.rows, task.temperature),
        "t2i_logits": queue_logits(text, image_keys, task.image_queue.rows, task.temperature),
        "perm.image": orders[0],
        "perm.text": orders[1],
        "grad_norms": {name: float(gradient.norm()) for name, gradient in named.items()},
        **{f"raw.{name}": tensor for name, tensor in raw.items()},
        **{f"grad.{name}": gradient.clone() for name, gradient in named.items()},
    }


def kept(raw: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(module: nn.Module, given: Any, output: Tensor) -> None:
        raw[name] = output.detach()

    return keep


def twins_state(task: Momentum) -> dict[str, Tensor]:
    """The twin's tensors under their published names."""
    found = keymap.store(task.twin.state_dict(), brivl.KEYS["original"])
    return {name.replace("encoder.", "encoder_mom.", 1): tensor for name, tensor in found.items()}


def published(task: Momentum) -> dict[str, Tensor]:
    """Every parameter of both under its published names, of which ours may hold several."""
    named = {}
    for module, twin in ((task.model, ""), (task.twin, "_mom")):
        for ours, parameter in module.named_parameters():
            for theirs, part in keymap.store({ours: parameter.detach()}, brivl.KEYS["original"]).items():
                name = theirs.replace("encoder.", f"encoder{twin}.", 1)
                named[name] = part.requires_grad_(parameter.requires_grad)
    return named
