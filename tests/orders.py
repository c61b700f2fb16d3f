"""The memory orders that an operation on maps must not tell apart."""

import numpy as np


def channels_last(x):
    """The same logical (N, C, ...) array with channels innermost in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def every_order(x):
    """``x`` in C order, channels last, as a strided view, and backwards in memory."""
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    return [np.ascontiguousarray(x), channels_last(x), wide[..., ::2], np.ascontiguousarray(x[..., ::-1])[..., ::-1]]
