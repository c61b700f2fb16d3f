"""Functions composed of others run on the second device, forward and backward, as on the CPU.

Those that sort or find places (quantile, unique, searchsorted, masked_scatter, ...) wait for kernels of ``sort_rows`` and ``nonzero_rows``.
"""

import numpy as np
import pytest

import neurenix as nx
from neurenix import linalg, special
from neurenix.testing import random_array

X, ROWS = random_array(3, 4), np.array([[0, 2, 1, 0], [1, 1, 0, 2]])
AT = np.array([2, 0])
F = nx.nn.functional
CASES = {
    "copysign": lambda x, p: nx.copysign(x, -x),
    "fmax": nx.fmax,
    "logaddexp2": nx.logaddexp2,
    "hypot": nx.hypot,
    "logit": lambda x, p: nx.logit(nx.sigmoid(x) * 0.9),
    "sinc": lambda x, p: nx.sinc(x),
    "entr": lambda x, p: special.entr(p),
    "log_ndtr": lambda x, p: special.log_ndtr(x),
    "xlog1py": special.xlog1py,
    "cummax": lambda x, p: nx.cummax(x, 1).values,
    "logcumsumexp": lambda x, p: nx.logcumsumexp(x, 0),
    "gradient": lambda x, p: nx.gradient(x, dim=1)[0],
    "trapezoid": lambda x, p: nx.trapezoid(x, dim=0),
    "max": lambda x, p: nx.max(x),
    "index_add": lambda x, p: nx.index_add(x, 0, p.new_full((2,), 1).long(), p[:2]),
    "index_put": lambda x, p: nx.index_put(x, (nx.tensor(AT).to(x.device),), p[:2]),
    "scatter_reduce": lambda x, p: nx.scatter_reduce(x, 0, nx.tensor(ROWS).to(x.device), p[:2], "amax"),
    "scatter_prod": lambda x, p: nx.scatter_reduce(x, 0, nx.tensor(ROWS).to(x.device), p[:2], "prod", include_self=False),
    "slice_scatter": lambda x, p: nx.slice_scatter(x, p[:, :2], 1, 0, None, 2),
    "diagonal_scatter": lambda x, p: nx.diagonal_scatter(x, p[:, 0]),
    "repeat_interleave": lambda x, p: nx.repeat_interleave(x, nx.tensor([1, 0, 2]), 0),
    "unfold": lambda x, p: x.unfold(1, 2, 1),
    "block_diag": nx.block_diag,
    "combinations": lambda x, p: nx.combinations(x[0]),
    "kron": nx.kron,
    "cross": lambda x, p: nx.cross(x, p, 0),
    "diagonal": lambda x, p: nx.diagonal(x, 1) * nx.diagonal(p, 0) + nx.diagonal(x, -1).sum(),
    "corrcoef": lambda x, p: nx.corrcoef(x),
    "cov": lambda x, p: nx.cov(x),
    "matrix_norm": lambda x, p: linalg.matrix_norm(x, 1),
    "matrix_power": lambda x, p: nx.matrix_power(x[:, :3], 3),
    "max_pool2d": lambda x, p: F.max_pool2d((p * 9).long().reshape(1, 1, 3, 4), 2, 1, 1, return_indices=True)[1],
    "scaled_dot_product_attention": lambda x, p: F.scaled_dot_product_attention(
        x, p, p, nx.tensor(np.eye(3) > [[0], [0], [1]]).to(x.device)
    ),
    "pdist": lambda x, p: F.pdist(x),
    "gaussian_nll_loss": lambda x, p: F.gaussian_nll_loss(x, x * 2, p),
    "triplet_margin_loss": lambda x, p: F.triplet_margin_loss(x, p, x * p, swap=True),
    "bincount": lambda x, p: nx.bincount((p[0] * 3).long()),
    "tensor_split": lambda x, p: nx.tensor_split(x, 3, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_as_on_the_cpu(door, name):
    results = []
    for device in ("cpu", "emulated"):
        x, p = (nx.Tensor(a).to(device).detach().requires_grad_() for a in (X, np.abs(X) + 0.1))
        out = CASES[name](x, p)
        parts = out if isinstance(out, tuple) else (out,)
        if all(t.requires_grad for t in parts):
            sum(t.sum() for t in parts).backward()
        results.append([t.numpy() for t in parts] + [t.grad.numpy() for t in (x, p) if t.grad is not None])
    assert len(results[0]) == len(results[1])
    for cpu, gpu in zip(*results, strict=True):
        np.testing.assert_allclose(gpu, cpu, rtol=1e-12, atol=1e-14)
