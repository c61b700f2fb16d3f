"""Functions made of others: formulas and gradients."""

import numpy as np
import pytest
from scipy import special
from slopes import same, slopes

import neurenix as nx
from neurenix.errors import ArgumentError
from neurenix.testing import check_adjoint, check_gradient, random_array

pytestmark = pytest.mark.everywhere

A, B, C = random_array(3, 4), random_array(4, seed=1), random_array(3, 1, seed=2)
P = special.expit(A)
FORMULAS = [
    (lambda: nx.addcmul(A, B, C, value=0.5), lambda: A + 0.5 * B * C), (lambda: nx.addcdiv(A, B, C, value=2), lambda: A + 2 * B / C),
    (lambda: nx.lerp(A, B, 0.3), lambda: A + 0.3 * (B - A)), (lambda: nx.hypot(A, B), lambda: np.hypot(A, B)),
    (lambda: nx.logaddexp(A, B), lambda: np.logaddexp(A, B)), (lambda: nx.xlogy(A, P), lambda: special.xlogy(A, P)),
    (lambda: nx.erfc(A), lambda: special.erfc(A)), (lambda: nx.logit(P), lambda: special.logit(P)), (lambda: nx.deg2rad(A), lambda: np.deg2rad(A)),
    (lambda: nx.rad2deg(A), lambda: np.rad2deg(A)), (lambda: nx.diff(A, 2), lambda: np.diff(A, 2)), (lambda: nx.diff(A, dim=0), lambda: np.diff(A, axis=0)),
    (lambda: nx.hstack([A, C]), lambda: np.hstack([A, C])), (lambda: nx.vstack([A, B]), lambda: np.vstack([A, B])),
    (lambda: nx.dstack([A, A]), lambda: np.dstack([A, A])), (lambda: nx.diag_embed(A)[1], lambda: np.diag(A[1])),
    (lambda: nx.diag_embed(A, -2)[0], lambda: np.diag(A[0], -2)), (lambda: nx.diag_embed(A, 1)[2], lambda: np.diag(A[2], 1)),
    (lambda: nx.cdist(A, A[:2] + 1), lambda: np.linalg.norm(A[:, None] - (A[:2] + 1)[None], axis=-1)),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(FORMULAS)))
def test_formulas(case):
    ours, want = FORMULAS[case]
    np.testing.assert_allclose(ours().numpy(), want(), rtol=1e-13, atol=1e-14)


def test_gradients():
    check_gradient(nx.addcdiv, A, B, C)
    check_gradient(nx.logaddexp, A, B)
    check_gradient(nx.xlogy, A, P)
    check_gradient(nx.erfc, A)
    check_gradient(lambda t: nx.logit(t, 0.01), P)
    check_adjoint(lambda t: nx.diff(t, 2, 1), A)
    check_adjoint(lambda t: nx.diag_embed(t, 1), A)


def test_missing_numbers_and_extremes():
    x = nx.tensor([[1.0, np.nan], [3.0, 5.0]])
    assert nx.nansum(x, 1).tolist() == [1.0, 8.0]
    assert nx.nanmean(x).item() == 3.0
    assert [t.item() for t in nx.aminmax(nx.tensor([2, 9, 4]))] == [2, 9]
    assert nx.xlogy(nx.zeros(1), nx.zeros(1)).item() == 0
    with pytest.raises(ArgumentError, match="diff: expected n of at least 0, got -1"):
        nx.diff(A, -1)


def test_sizes():
    x = nx.zeros(2, 3)
    assert (x.size(), x.size(1), x.dim(), x.numel(), x.element_size(), x.nbytes, x.is_cuda) == ((2, 3), 3, 2, 6, 4, 24, False)
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert (x.less(1) == x.lt(1)).all().item()
    assert nx.subtract(x, 1).tolist() == nx.sub(x, 1).tolist() == [[-1.0] * 3] * 2


def test_aminmax_names_both():
    found = nx.aminmax(nx.tensor([[3.0, 1.0], [2.0, 5.0]]), dim=1)
    assert found.min.tolist() == [1, 2] and found.max.tolist() == [3, 5]
    assert nx.tensor([2, 7]).aminmax().max.item() == 7


def test_mixtures_are_computed_from_the_nearer_end_as_in_pytorch():
    inf, nan = np.inf, np.nan
    x, y = [-inf, 1.0, 1.0], [1.0, inf, 3.0]
    assert same(slopes(lambda a, b: nx.lerp(a, b, 0.5), x, y), ([-inf, nan, 2], [[0.5] * 3, [0.5] * 3]))
    assert same(slopes(lambda a, b: nx.lerp(a, b, 1.0), x, y), ([nan, nan, 3], [[0] * 3, [1] * 3]))
    shares = [0.5, 0.25, 0.5, 0.75]
    want = [-inf, inf, 2, 4], [[0.5, 0.75, 0.5, 0.25], shares, [inf, inf, 2, 4]]
    assert same(slopes(nx.lerp, [*x, 1.0], [*y, 5.0], shares), want)


def test_logits_of_zeros_rise_without_bound():
    assert slopes(nx.logit, [-0.0, 0.0, 0.5, 1.0])[1] == [[np.inf, np.inf, 4, np.inf]]
