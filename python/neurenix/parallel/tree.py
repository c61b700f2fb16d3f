"""The fixed binary tree in which the shards of a batch are added, whoever holds them.

Neighbours are added, then neighbours of these sums, and so on; an odd one waits: of 6 shards ((0 + 1) + (2 + 3)) + (4 + 5).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

T = TypeVar("T")
Node = tuple[int, int]  # the shards from the first on, to before the second
Stack = list[tuple[Node, T]]


@cache
def nodes(count: int) -> frozenset[Node]:
    """Every sum that is made on the way to that of ``count`` shards."""
    level = [(i, i + 1) for i in range(count)]
    found = set(level)
    while len(level) > 1:
        level = [(level[i][0], level[min(i + 1, len(level) - 1)][1]) for i in range(0, len(level), 2)]
        found.update(level)
    return frozenset(found)


def grow(stack: Stack[T], node: Node, value: T, count: int, add: Callable[[T, T], T]) -> None:
    """Put the sum of ``node`` behind those that are there, and add as far as the tree allows."""
    stack.append((node, value))
    while len(stack) > 1 and (stack[-2][0][0], stack[-1][0][1]) in nodes(count):
        (_, end), right = stack.pop()
        (start, _), left = stack.pop()
        stack.append(((start, end), add(left, right)))


def total(values: list[T], add: Callable[[T, T], T]) -> T:
    """The sum of a value for each shard."""
    stack: Stack[T] = []
    for i, value in enumerate(values):
        grow(stack, (i, i + 1), value, len(values), add)
    return stack[0][1]


def block(rank: int, ranks: int, count: int) -> list[Node]:
    """The sums that a rank makes of its own shards alone."""
    own = count // ranks
    stack: Stack[int] = []
    for i in range(rank * own, (rank + 1) * own):
        grow(stack, (i, i + 1), 0, count, lambda _, right: right)
    return [node for node, _ in stack]
