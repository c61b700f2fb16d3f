"""A training step defined on the shards of its batch, computed by one process or by several to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurenix import autograd, backend, layout, random
from neurenix._typing import Array
from neurenix.errors import ArgumentError, GraphError, ShapeError
from neurenix.nn import Module, Parameter, walking
from neurenix.ops._arguments import integer
from neurenix.ops._over_batch import joined_by
from neurenix.parallel import tree
from neurenix.parallel.buckets import Bucket, Filling, buckets_of
from neurenix.parallel.joining import Vector, added
from neurenix.parallel.ranks import Ranks
from neurenix.parallel.shared import joining
from neurenix.tensor import Tensor, as_tensor

Criterion = Callable[..., Tensor]


class Shards:
    """Backward passes on equal shards of a batch: what ``loss.backward()`` does for the whole.

    Every shard goes through the model by itself. Gradients, losses and running statistics of the shards are added in a fixed binary
    tree, so the bits depend on the number of shards and not on how many processes have them.

    Parameters
    ----------
    count : int
        Shards of a batch.
    ranks : Ranks, optional
        The processes that share them, from :func:`ranks`; this one alone if ``None``.

    Attributes
    ----------
    part : (int, int)
        The part of each batch that this process computes on, of how many: ``DataLoader(..., part=shards.part)``.

    Raises
    ------
    ArgumentError
        If the ranks do not divide the shards.

    Notes
    -----
    Sums over the batch inside a loss are sums over all shards: those of overlap losses (Dice, Jaccard, Tversky), and what a mean is
    divided by where weights, ignored pixels or masks decide it. Any other loss is the mean of the shards' losses. Batch norm
    normalises each shard by its own statistics; running statistics move by their mean.

    Examples
    --------
    >>> import neurenix as nx
    >>> model, shards = nx.nn.Linear(2, 1), nx.parallel.Shards(2)
    >>> loss = shards.backward(model, nx.nn.MSELoss(), nx.randn(4, 2), nx.randn(4, 1))
    >>> model.weight.grad.shape
    (1, 2)
    """

    def __init__(self, count: int = 4, ranks: Ranks | None = None) -> None:
        self.count, self.ranks = integer("Shards", "count", count, 1), ranks or Ranks()
        if self.count % self.ranks.size:
            raise ArgumentError(
                f"Shards: expected shards that {self.ranks.size} ranks divide evenly, got {count}; use a multiple of {self.ranks.size}"
            )
        self.part = (self.ranks.rank, self.ranks.size)

    def backward(self, model: Module, criterion: Criterion, input: Any, *targets: Any) -> Tensor:
        """Put the gradients of the batch's loss into the parameters' ``grad``, in place of what was there.

        Parameters
        ----------
        model : Module
        criterion : callable
            ``criterion(model(input), *targets)`` is the loss. It may be called again for the same shard, and has to give the same.
        input, *targets : Tensor or array
            This process's part of the batch, samples along the first axis.

        Returns
        -------
        Tensor, 0-d
            The loss of the whole batch, not recorded.

        Raises
        ------
        ShapeError
            If the shards do not divide the batch.
        GraphError
            If shards differ in what their losses sum over the batch, or in how many random numbers they draw.

        Examples
        --------
        >>> import neurenix as nx
        >>> model, shards = nx.nn.Linear(2, 1), nx.parallel.Shards(4)
        >>> input, target = nx.ones(8, 2), nx.zeros(8, 1)
        >>> loss = shards.backward(model, nx.nn.MSELoss(), input, target)
        >>> loss.shape, loss.requires_grad, model.bias.grad.shape
        ((), False, (1,))
        """
        if self.count == 1:
            return _whole(model, criterion, input, targets)
        parts = self._cut([input, *targets])
        step = _Step(self, model, criterion)
        try:
            with random.run_again("Shards"):
                for shard, (x, *rest) in zip(step.own, parts, strict=True):
                    step.run(shard, x, rest)
                return step.finish()
        except BaseException:
            step.undo()
            raise

    def _cut(self, values: list[Any]) -> list[list[Tensor]]:
        """The shards of this process."""
        given, own = [as_tensor(v) for v in values], self.count // self.ranks.size
        sizes = {t.shape[0] if t.ndim else 0 for t in given}
        samples = max(sizes)
        if len(sizes) > 1 or not samples or samples % own:
            raise ShapeError(
                f"Shards: expected samples along the first axis that {own} shards divide evenly, got {[t.shape for t in given]}; "
                "use such a batch size, and drop_last=True in the loader"
            )
        each = samples // own
        return [[t[i * each : (i + 1) * each] for t in given] for i in range(own)]


def _whole(model: Module, criterion: Criterion, input: Any, targets: tuple[Any, ...]) -> Tensor:
    loss = criterion(model(input), *targets)
    for p in model.parameters():
        p.grad = None
    loss.backward()
    return loss.detach()


def _over(total: Vector, count: int) -> Vector:
    return np.asarray(total / total.dtype.type(count))


class _Asks(BaseException):
    """A loss cannot go on before a sum over the batch is known."""

    def __init__(self, sums: list[Array]) -> None:
        super().__init__()
        self.sums = sums


class _Step:
    """One step: the shards of this process one after the other, and what is joined with those of the others."""

    def __init__(self, shards: Shards, model: Module, criterion: Criterion) -> None:
        self.shards, self.model, self.criterion = shards, model, criterion
        own = shards.count // shards.ranks.size
        self.own = range(shards.ranks.rank * own, (shards.ranks.rank + 1) * own)
        tensors = [t for _, t in walking.tensors(model, Module, True)]  # looked for once: it costs as much as the optimizer's step
        self.parameters = [p for p in tensors if isinstance(p, Parameter) and p.requires_grad][::-1]  # backward meets the last ones first
        buffers = [b for b in tensors if not isinstance(b, Parameter)]
        self.statistics = [b for b in buffers if b.is_floating_point()]
        self.gradients = buckets_of(self.parameters)
        self.buckets = [*self.gradients, *buckets_of(self.statistics)]
        kinds, on_cpu = [(b.size, b.dtype) for b in self.buckets], all(b.device == "cpu" for b in self.buckets)
        self.joining = joining(shards.ranks, shards.count, kinds, on_cpu=on_cpu)
        self.before = [(b, layout.copy(b._array)) for b in buffers]
        self.begun = random.get_rng_state()
        self.known: list[list[Array]] = []  # sums over the batch, in the order in which the loss asks for them
        self.waiting: list[tuple[int, Tensor, list[Tensor], tuple[int, int]]] = []  # shards whose loss asks for one more
        self.asked: list[list[Array] | None] = []  # what the loss of each shard asks for; None where it is done
        self.losses: dict[int, Array] = {}
        self.samples = 0

    def run(self, shard: int, x: Tensor, targets: list[Tensor]) -> None:
        """One shard through the model, and as far back as its loss can be known."""
        for b, value in self.before:
            b.assign_(Tensor._wrap(value))
        random.set_rng_state(self.begun)
        self.samples = x.shape[0]
        with random.first_sample(random.sample_base() + shard * self.samples):
            output = self.model(x)
        statistics = self._filling(shard, self.buckets[len(self.gradients) :], len(self.gradients))
        for b in self.statistics:
            statistics.put(b, layout.copy(b._array))
        self._lose(shard, output, targets, random.get_rng_state())

    def _filling(self, shard: int, buckets: list[Bucket], first: int) -> Filling:
        """The vectors of a shard, of which the first has this number."""
        return Filling(buckets, lambda i, *v: self.joining.add(first + i, shard, *v), lambda i: self.joining.vector(first + i, shard))

    def _lose(self, shard: int, output: Tensor, targets: list[Tensor], state: tuple[int, int]) -> None:
        """The loss of a shard, and then its gradients; or it waits."""
        random.set_rng_state(state)
        known = iter(self.known)

        def join(sums: list[Tensor]) -> list[Tensor]:
            joined = next(known, None)
            if joined is None:
                raise _Asks([backend.to_numpy(t._array) for t in sums])
            return [self._over_shards(t, value) for t, value in zip(sums, joined, strict=True)]

        try:
            with joined_by(join), random.first_sample(random.sample_base() + shard * self.samples):
                loss = self.criterion(output, *targets)
        except _Asks as ask:
            self.asked.append(ask.sums)
            self.waiting.append((shard, output, targets, state))
            return
        self.asked.append(None)
        self._pull(shard, loss)

    def _over_shards(self, t: Tensor, value: Array) -> Tensor:
        """A sum over the batch, which each shard's loss holds, and of whose slope each gives its part."""
        count = self.shards.count
        data = backend.to_device(value, t.device)
        return autograd.record("over_shards", data, (t,), lambda g: ((Tensor._wrap(g) * count)._array,))

    def _pull(self, shard: int, loss: Tensor) -> None:
        """The gradients of one shard's part of the mean over shards."""
        self.losses[shard] = backend.to_numpy(loss._array)
        gradients = self._filling(shard, self.gradients, 0)
        for p in self.parameters:
            p.grad = None

        def ready(leaf: Tensor) -> None:
            if gradients.has(leaf):
                gradients.put(leaf, None if leaf.grad is None else leaf.grad._array)
                leaf.grad = None
                self.joining.poll()

        if loss.requires_grad:
            share = np.full((), 1.0 / self.shards.count, loss.dtype)
            autograd.backward([(loss, backend.to_device(share, loss.device))], ready=ready)
        for p in self.parameters:
            if gradients.has(p):
                gradients.put(p, None)

    def finish(self) -> Tensor:
        """Join what is left; the loss of the batch."""
        while (rows := self._gather()) is not None:
            self.known.append([tree.total([row[k].copy() for row in rows], added) for k in range(len(rows[0]))])
            waiting, self.waiting, self.asked = self.waiting, [], []
            for shard, output, targets, state in waiting:
                self._lose(shard, output, targets, state)
        sums = self.joining.wait()
        for bucket, vector in zip(self.gradients, sums, strict=False):
            for p, value, number in bucket.parts(vector):
                p.grad = Tensor._wrap(backend.upload(value, p.device)()) if number else None
        for bucket, vector in zip(self.buckets[len(self.gradients) :], sums[len(self.gradients) :], strict=True):
            for b, value, _ in bucket.parts(vector):
                b.assign_(Tensor._wrap(_over(value, self.shards.count)))
        return self.loss

    def _gather(self) -> list[list[Vector]] | None:
        """What the losses of all shards ask for; None where all are done."""
        rows = self.shards.ranks.gather((self.asked, self.samples, random.get_rng_state(), self.losses), self.joining.poll)
        asked = [ask for row in rows for ask in row[0]]
        shapes = {None if ask is None else tuple((a.shape, a.dtype.str) for a in ask) for ask in asked}
        if len(shapes) > 1 or len({row[1] for row in rows}) > 1 or len({row[2] for row in rows}) > 1:
            self.joining.refuse()
            raise GraphError(
                f"Shards: expected shards of one size whose losses sum alike and that draw as many random numbers, got {shapes}, samples "
                f"{[row[1] for row in rows]}, states {[row[2] for row in rows]}; let neither model nor loss depend on what a shard holds"
            )
        if asked[0] is not None:
            return [ask for ask in asked if ask is not None]
        losses = {shard: loss for row in rows for shard, loss in row[3].items()}
        whole = tree.total([losses[i].copy() for i in range(self.shards.count)], added)
        self.loss = Tensor._wrap(_over(whole, self.shards.count))
        return None

    def undo(self) -> None:
        """Put statistics and random numbers back after an error."""
        self.joining.drop()
        for b, value in self.before:
            b.assign_(Tensor._wrap(value))
        random.set_rng_state(self.begun)
