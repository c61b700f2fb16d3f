"""Training on real data under "fast" follows training under "ieee" as closely as two seeds follow each other."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.examples.shared import load_nuclei
from neurenix.multiscale import UNet
from neurenix.nn import functional as F
from neurenix.optim import AdamW

STEPS, CROP, BATCH = 300, 32, 4


def curve(precision, crops, weights=0):
    """The loss of each step, and the weights at the end."""
    image, labels = load_nuclei()
    image = ((image - image.mean()) / image.std()).astype(np.float32)
    random = np.random.default_rng(crops)
    nx.manual_seed(weights)
    model = UNet(in_channels=1, out_channels=1, features=[16, 24], final_activation=None)
    optimizer = AdamW(model.parameters(), lr=2e-3)
    losses = []
    with nx.set_float32_precision(precision):
        for _ in range(STEPS):
            corners = random.integers(0, 512 - CROP, (BATCH, 2))
            cut = lambda a: np.stack([a[None, y : y + CROP, x : x + CROP] for y, x in corners])  # noqa: B023, E731
            loss = F.binary_cross_entropy_with_logits(model(nx.tensor(cut(image))), nx.tensor(cut(labels > 0).astype(np.float32)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return np.array(losses), np.concatenate([p.numpy().ravel() for p in model.parameters()])


@pytest.mark.slow
def test_the_loss_follows_the_direct_path_within_seed_noise():
    direct, weights = curve("ieee", crops=0)
    fast, other = curve("fast", crops=0)
    assert (weights != other).any(), "both precisions computed the same bits: nothing was compared"
    seeds = [curve("ieee", crops=0, weights=seed)[0] for seed in (1, 2)]
    smooth = lambda losses: np.convolve(losses, np.ones(25) / 25, "valid")  # noqa: E731
    apart = lambda a, b: np.abs(smooth(a) - smooth(b)).mean()  # noqa: E731
    noise = [apart(direct, other) for other in seeds]
    assert smooth(direct)[-1] < 0.5 * smooth(direct)[0]
    assert apart(direct, fast) <= 0.5 * min(noise), (apart(direct, fast), noise)
    assert abs(smooth(fast)[-1] - smooth(direct)[-1]) <= max(abs(smooth(s)[-1] - smooth(direct)[-1]) for s in seeds)
