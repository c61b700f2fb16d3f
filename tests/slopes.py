"""A function's values and the gradients of their sum, as lists: for tests with another library's numbers written in."""

import neurenix as nx


def slopes(fn, *values):
    """``fn`` of double tensors of ``values``, and the gradient of each, as (list, [list, ...])."""
    tensors = [nx.tensor(v, dtype=nx.float64, requires_grad=True) for v in values]
    found = fn(*tensors)
    found.sum().backward()
    return found.detach().numpy().tolist(), [t.grad.numpy().tolist() for t in tensors]


def same(got, want):
    """Whether nested lists of numbers are equal to 1e-12; NaN equals NaN."""
    if isinstance(want, (list, tuple)):
        return len(got) == len(want) and all(same(g, w) for g, w in zip(got, want, strict=True))
    return got == want or (got != got and want != want) or abs(got - want) <= 1e-12 * abs(want)
