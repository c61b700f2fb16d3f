"""Convolutions, pooling, padding, resizing, sampling and shuffles."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from properties.draws import Draw
from properties.table import Example, function, row

import neurenix as nx
from neurenix.nn import functional as F


def each(d: Draw, n: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(d.int(low, high) for _ in range(n))


def convolved(name: str, n: int, d: Draw) -> Example:
    groups = d.int(1, 3)
    inputs, outputs = groups * d.int(1, 3), groups * d.int(1, 3)
    kernel, dilation = each(d, n, 1, 3), each(d, n, 1, 2)
    padding = each(d, n, 0, 2)
    x = d.map(n, channels=inputs, low=5, high=8)
    options = {"stride": each(d, n, 1, 3), "padding": padding, "dilation": dilation, "groups": groups}
    return partial(function(name), **options), d.numbers(*x), d.numbers(outputs, inputs // groups, *kernel), d.numbers(outputs)


def transposed(name: str, n: int, d: Draw) -> Example:
    groups = d.int(1, 2)
    inputs, outputs = groups * d.int(1, 3), d.int(1, 3)
    kernel, stride = each(d, n, 2, 3), each(d, n, 1, 2)
    options = {"stride": stride, "padding": each(d, n, 0, 1), "output_padding": tuple(s - 1 for s in stride), "groups": groups}
    x = d.map(n, channels=inputs, low=2, high=5)
    weight = d.numbers(inputs, outputs, *kernel)
    return partial(function(name), **options), d.numbers(*x), weight, d.numbers(outputs * groups)


for _n in (1, 2, 3):
    row(f"conv{_n}d", partial(convolved, f"conv{_n}d", _n), linear=(0, 1, 2), batched=(0,))
    row(f"conv_transpose{_n}d", partial(transposed, f"conv_transpose{_n}d", _n), linear=(0, 1, 2), batched=(0,))


def pooled(name: str, n: int, d: Draw) -> Example:
    kernel = each(d, n, 1, 3)
    options: dict[str, Any] = {"stride": each(d, n, 1, 3), "padding": tuple(d.int(0, k // 2) for k in kernel), "ceil_mode": d.flag()}
    if name.startswith("max"):
        options["dilation"] = each(d, n, 1, 2)
    else:
        options["count_include_pad"] = d.flag()
    return partial(function(name), kernel_size=kernel, **options), d.distinct(*d.map(n, low=5, high=7))


def bins(name: str, n: int, d: Draw) -> Example:
    return partial(function(name), output_size=each(d, n, 1, 5)), d.distinct(*d.map(n))


for _n in (1, 2, 3):
    row(f"avg_pool{_n}d", partial(pooled, f"avg_pool{_n}d", _n), linear=(0,), batched=(0,))
    row(f"max_pool{_n}d", partial(pooled, f"max_pool{_n}d", _n), batched=(0,))
    row(f"adaptive_avg_pool{_n}d", partial(bins, f"adaptive_avg_pool{_n}d", _n), linear=(0,), batched=(0,))
    row(f"adaptive_max_pool{_n}d", partial(bins, f"adaptive_max_pool{_n}d", _n), batched=(0,))
    row(f"max_pool{_n}d_with_indices", partial(pooled, f"max_pool{_n}d_with_indices", _n))
    row(f"adaptive_max_pool{_n}d_with_indices", partial(bins, f"adaptive_max_pool{_n}d_with_indices", _n))


def powered(n: int, d: Draw) -> Example:
    p, kernel = d.pick(1.0, 2.0, 3.0), each(d, n, 1, 3)
    return (lambda x: function(f"lp_pool{n}d")(x, p, kernel)), d.numbers(*d.map(n, low=3), low=0.3)


for _n in (1, 2, 3):
    row(f"lp_pool{_n}d", partial(powered, _n), batched=(0,))


def unpooled(n: int, d: Draw) -> Example:
    x = d.distinct(*d.map(n, low=4, high=7))
    _, index = function(f"max_pool{n}d")(nx.Tensor(x), 2, return_indices=True)
    size = x.shape[2:]
    return (lambda y: function(f"max_unpool{n}d")(y, index.to(device=y.device), 2, output_size=size)), d.numbers(*index.shape)


for _n in (1, 2, 3):
    row(f"max_unpool{_n}d", partial(unpooled, _n), linear=(0,))


def padded(d: Draw) -> Example:
    n = d.int(1, 3)
    mode = d.pick("constant", "reflect", "replicate", "circular")
    x = d.map(n, low=3)
    low = -1 if mode == "constant" else 0
    return partial(F.pad, pad=each(d, 2 * n, low, 2), mode=mode), d.numbers(*x)


row("pad", padded, linear=(0,), batched=(0,))

MODES = {1: ("nearest", "nearest-exact", "linear", "area"), 2: ("nearest", "nearest-exact", "bilinear", "bicubic", "area")}
MODES[3] = ("nearest", "nearest-exact", "trilinear", "area")


def resized(d: Draw) -> Example:
    n = d.int(1, 3)
    mode = d.pick(*MODES[n])
    options: dict[str, Any] = {"size": each(d, n, 1, 9)} if d.flag() else {"scale_factor": d.pick(0.5, 1.5, 2.0, 1.7)}
    if mode in ("linear", "bilinear", "bicubic", "trilinear"):
        options["align_corners"] = d.flag()
        options["antialias"] = mode in ("bilinear", "bicubic") and not options["align_corners"] and d.flag()
    return partial(F.interpolate, mode=mode, **options), d.numbers(*d.map(n, low=2))


row("interpolate", resized, linear=(0,), batched=(0,))
row("upsample_nearest", lambda d: (partial(F.upsample_nearest, scale_factor=d.int(1, 3)), d.numbers(*d.map(2))), linear=(0,))
row("upsample_bilinear", lambda d: (partial(F.upsample_bilinear, scale_factor=d.int(1, 3)), d.numbers(*d.map(2))), linear=(0,))


def sampled(d: Draw) -> Example:
    """Places away from the edges between pixels, where the derivative of the place jumps."""
    batch, height, width = d.int(1, 2), d.int(2, 5), d.int(2, 5)
    mode, padding = d.pick("bilinear", "nearest", "bicubic"), d.pick("zeros", "border", "reflection")
    x = d.numbers(batch, d.int(1, 3), height, width)
    places = [d.index(s + 1, batch, 2, 3) - 1 + d.numbers(batch, 2, 3, low=0.1, high=0.4) for s in (width, height)]
    ends = [2 * p / (s - 1) - 1 for p, s in zip(places, (width, height), strict=True)]
    return partial(F.grid_sample, mode=mode, padding_mode=padding, align_corners=True), x, np.stack(ends, axis=-1)


row("grid_sample", sampled, linear=(0,), batched=(0, 1), tolerance=1e-5)
row("affine_grid", lambda d: (partial(F.affine_grid, size=(2, 1, 3, d.int(1, 4)), align_corners=d.flag()), d.numbers(2, 2, 3)), linear=(0,))


def columns(d: Draw) -> tuple[dict[str, Any], tuple[int, ...], int]:
    options = {name: each(d, 2, low, high) for name, low, high in (("dilation", 1, 2), ("padding", 0, 2), ("stride", 1, 2))}
    kernel, size = each(d, 2, 1, 3), each(d, 2, 5, 7)
    places = [
        (s + 2 * p - t * (k - 1) - 1) // o + 1
        for s, p, t, k, o in zip(size, options["padding"], options["dilation"], kernel, options["stride"], strict=True)
    ]
    return {"kernel_size": kernel, **options}, size, int(np.prod(places))


def unfolded(d: Draw) -> Example:
    options, size, _ = columns(d)
    return partial(F.unfold, **options), d.numbers(d.int(1, 2), d.int(1, 3), *size)


def folded(d: Draw) -> Example:
    options, size, places = columns(d)
    rows = d.int(1, 3) * int(np.prod(options["kernel_size"]))
    return partial(F.fold, output_size=size, **options), d.numbers(2, rows, places)


row("unfold", unfolded, linear=(0,), batched=(0,))
row("fold", folded, linear=(0,), batched=(0,))


def shuffled(name: str, d: Draw) -> Example:
    r = d.int(1, 3)
    batch, channels, height, width = d.map(2)
    if name == "pixel_shuffle":
        channels *= r * r
    elif name == "pixel_unshuffle":
        height, width = height * r, width * r
    else:
        channels *= r
    return (lambda x: function(name)(x, r)), d.numbers(batch, channels, height, width)


for _name in ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"):
    row(_name, partial(shuffled, _name), linear=(0,), batched=(0,))


def blurred(d: Draw) -> Example:
    sigma, mode = d.numbers(2, low=0, high=1.2).tolist(), d.pick("reflect", "symmetric", "replicate", "circular")
    return partial(F.gaussian_blur, sigma=sigma, mode=mode), d.numbers(*d.map(2, low=3))


def expanded(d: Draw) -> Example:
    batch, channels, height, width = d.map(2, low=1)
    return partial(F.pyramid_expand, size=(height, width)), d.numbers(batch, channels, (height + 1) // 2, (width + 1) // 2)


row("gaussian_blur", blurred, linear=(0,), batched=(0,))
row("pyramid_reduce", lambda d: (F.pyramid_reduce, d.numbers(*d.map(2))), linear=(0,), batched=(0,))
row("pyramid_expand", expanded, linear=(0,), batched=(0,))
