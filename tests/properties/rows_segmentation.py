"""Losses of segmentations and images."""

from __future__ import annotations

from functools import partial

import numpy as np
from properties.draws import Draw
from properties.table import Example, constant, function, row

from neurenix.nn import functional as F

OVERLAPS = ("dice_loss", "jaccard_loss", "tversky_loss", "focal_tversky_loss", "generalized_dice_loss")


def overlap(name: str, d: Draw) -> Example:
    """Class numbers or masks as the target, some left out."""
    shape = d.map(2, channels=d.int(2, 3))
    options = {"per_sample": d.flag(), "reduction": d.pick("mean", "sum")}
    labels = d.index(shape[1], shape[0], *shape[2:])
    if d.flag():
        labels.reshape(-1)[0] = 255
    return (lambda y: function(name)(y, constant(labels, y), ignore_index=255, **options)), d.numbers(*shape, low=0.1, high=0.9)


for overlap_name in OVERLAPS:
    row(overlap_name, partial(overlap, overlap_name))


def lovasz(d: Draw) -> Example:
    """Probabilities whose errors, ``p`` or ``1 - p``, are all apart: the loss has a kink where two of them change places."""
    fn, like = overlap("lovasz_softmax_loss", d)
    places = np.argsort(d.distinct(like.size), kind="stable").reshape(like.shape)
    return fn, 0.1 + 0.8 * (places + 0.3) / like.size


row("lovasz_softmax_loss", lovasz)


def boundary(d: Draw) -> Example:
    shape = d.map(2)
    target = d.mask(*shape)
    return (lambda y: F.boundary_loss(y, constant(target, y))), d.numbers(*shape, low=0.1, high=0.9)


def skeleton(name: str, d: Draw) -> Example:
    shape = d.map(2, low=3)
    x = 0.5 + d.distinct(*shape, step=0.9 / max(1, shape[0] * shape[1] * shape[2] * shape[3]))
    if name == "soft_skeleton":
        return (lambda y: F.soft_skeleton(y, 1)), x
    target = d.mask(*shape).astype(float)
    return (lambda y: F.soft_cldice_loss(y, constant(target, y), 1)), x


row("boundary_loss", boundary, linear=(0,))
row("soft_skeleton", partial(skeleton, "soft_skeleton"), tolerance=1e-5)
row("soft_cldice_loss", partial(skeleton, "soft_cldice_loss"), tolerance=1e-5)


def hinge(d: Draw) -> Example:
    shape = d.shape(least=2, most=3)
    target = d.mask(*shape)
    return (lambda y: F.lovasz_hinge_loss(y, constant(target, y), per_sample=True)), d.numbers(*shape, kinks=(-1.0, 1.0))


def sigmoid_focal(d: Draw) -> Example:
    shape = d.shape(least=1)
    target, gamma = d.numbers(*shape, low=0.0, high=1.0), d.pick(0.0, 1.0, 2.0)
    return (lambda y: F.sigmoid_focal_loss(y, constant(target, y), gamma=gamma)), d.numbers(*shape)


def focal(d: Draw) -> Example:
    n = d.int(2, 4)
    shape = (d.int(1, 3), n, d.int(1, 4))
    target, weight, gamma = d.index(n, shape[0], shape[2]), d.numbers(n, low=0.5), d.pick(0.0, 1.0, 2.0)
    return (lambda y: F.focal_loss(y, constant(target, y), constant(weight, y), gamma)), d.numbers(*shape)


row("lovasz_hinge_loss", hinge)
row("sigmoid_focal_loss", sigmoid_focal)
row("focal_loss", focal)


def similarity(name: str, d: Draw) -> Example:
    shape = d.map(2, low=8, high=11)
    target = d.numbers(*shape, low=0.0, high=1.0)
    options = {"weights": (0.4, 0.6)} if name == "ms_ssim" else {}
    x = target + d.numbers(*shape, low=-0.1, high=0.1)
    return (lambda y: function(name)(y, constant(target, y), window_size=3, **options)), x


row("ssim", partial(similarity, "ssim"))
row("ms_ssim", partial(similarity, "ms_ssim"))
