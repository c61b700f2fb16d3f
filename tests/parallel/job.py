"""A small training on several ranks: prints, on rank 0, how they joined gradients, and a hash of everything that has a state."""

import errno
import hashlib
import os
import signal
import sys
from pathlib import Path

import numpy as np

import neurenix as nx
from neurenix import nn
from neurenix.data import ArrayDataset, DataLoader
from neurenix.errors import GraphError
from neurenix.multiscale import UNet
from neurenix.parallel import Shards, ranks, shared

shards_of_a_batch, what = int(sys.argv[1]), sys.argv[2]
here = ranks()
if what == "fail" and here.rank == here.size - 1:
    raise ValueError("the data of this rank are gone")
if what == "scarce" and here.rank == 1:

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "no memory to share")

    os.posix_fallocate = full
if what == "elsewhere" and here.rank == 1:
    shared._machine = lambda: "another start of a machine"
here.agree("job", {"seed": 0, "data": "other" if what == "disagree" and here.rank == 1 else "same"})

if what == "emulated":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from gpu import emulated

    emulated.require()
device, images_of_a_batch, epochs = ("emulated", 2, 1) if what == "emulated" else ("cpu", 12, 3)
nx.set_num_threads(1)
nx.manual_seed(0)
model = UNet(1, 1, [4, 8])
model.add_module("wide", nn.Conv2d(64, 512, 3))  # no gradient, and large enough to cut buckets
model.to(device)
shards = Shards(shards_of_a_batch, here)
x = np.random.default_rng(0).random((2 * images_of_a_batch, 1, 16, 16), np.float32)
data = ArrayDataset(x, (x > 0.5).astype(np.float32))
loader = DataLoader(data, batch_size=images_of_a_batch, shuffle=True, seed=0, part=shards.part, device=device)
optimizer = nx.optim.AdamW(model.parameters(), lr=1e-2)
criterion = nn.CombinedLoss(nn.BCELoss(), nn.DiceLoss())
losses = []
if what == "refused":  # a step that all ranks refuse, after parts of it have been passed on
    last = here.rank == here.size - 1

    def uneven(output: nx.Tensor, target: nx.Tensor) -> nx.Tensor:
        return nn.functional.dice_loss(output, target) if last else nn.functional.l1_loss(output, target)

    before = [b.numpy().copy() for b in model.buffers()]
    try:
        shards.backward(model, uneven, x[:4], (x[:4] > 0.5).astype(np.float32))
    except GraphError:
        assert all(np.array_equal(b.numpy(), value) for b, value in zip(model.buffers(), before, strict=True))
    else:
        raise AssertionError("a step that differs between ranks")
for _ in range(epochs):
    for images, masks in loader:
        losses.append(shards.backward(model, criterion, images, masks).item())
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if what == "killed" and len(losses) == 2 and here.rank == here.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)  # the others wait for it in the next step
state = hashlib.sha256(repr((losses, nx.get_rng_state())).encode())
for t in [*model.parameters(), *model.buffers()]:
    state.update(np.ascontiguousarray(t.cpu().numpy()).tobytes())
hashes = here.gather(state.hexdigest())
if here.rank == 0:
    print(here.size, "memory" if any((here._shelves or {}).values()) else "messages", *hashes)
