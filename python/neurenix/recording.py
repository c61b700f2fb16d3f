"""Whether operations are remembered for gradients: here, in a block, in a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Any, Self

from neurenix.errors import ArgumentError

_recording: ContextVar[bool] = ContextVar("recording", default=True)


class no_grad(ContextDecorator):  # noqa: N801 - PyTorch's name
    """Context manager and decorator under which nothing is recorded.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0, 2.0], requires_grad=True)
    >>> with nx.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _on = False

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:  # noqa: D102
        self = super().__new__(cls)
        if function is None:
            return self
        self.__init__()  # type: ignore[misc]  # @no_grad without parentheses: the function, decorated
        return self(function)

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __call__(self, function: Any) -> Any:  # noqa: D102
        return _each_step(function, self._recreate_cm) if inspect.isgeneratorfunction(function) else super().__call__(function)

    def _recreate_cm(self) -> Self:
        made: Self = type(self)()
        return made

    def __enter__(self) -> None:
        self._tokens.append(_recording.set(self._on))

    def __exit__(self, *_: object) -> None:
        _recording.reset(self._tokens.pop())


class enable_grad(no_grad):  # noqa: N801 - PyTorch's name
    """Context manager and decorator under which operations are recorded, also inside :class:`no_grad`.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0], requires_grad=True)
    >>> with nx.no_grad(), nx.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    _on = True


class inference_mode(no_grad):  # noqa: N801 - PyTorch's name
    """As :class:`no_grad`; with ``mode=False`` nothing changes.

    Examples
    --------
    >>> import neurenix as nx
    >>> with nx.inference_mode():
    ...     nx.is_grad_enabled()
    False
    """

    def __new__(cls, mode: Any = True) -> Any:  # noqa: D102
        return super().__new__(cls, mode if callable(mode) else None)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._mode = _flag("inference_mode", mode)

    def _recreate_cm(self) -> Self:
        made: Self = type(self)(self._mode)
        return made

    def __enter__(self) -> None:
        self._tokens.append(_recording.set(_recording.get() and not self._mode))


class set_grad_enabled(no_grad):  # noqa: N801 - PyTorch's name
    """Record operations or not, from the call on; as a context manager or decorator until its end.

    Parameters
    ----------
    mode : bool

    Raises
    ------
    ArgumentError
        If ``mode`` is not a bool.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0], requires_grad=True)
    >>> for training in (True, False):
    ...     with nx.set_grad_enabled(training):
    ...         (x * 2).requires_grad
    True
    False
    """

    def __new__(cls, mode: bool) -> Any:  # noqa: ARG004, D102
        return super().__new__(cls)

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._mode = _flag("set_grad_enabled", mode)
        self._tokens.append(_recording.set(self._mode))

    def __call__(self, function: Any) -> Any:  # noqa: D102
        _recording.reset(self._tokens.pop())
        return super().__call__(function)

    def _recreate_cm(self) -> Self:
        made: Self = type(self)(self._mode)
        return made

    def __enter__(self) -> None:
        pass


def _flag(op: str, mode: Any) -> bool:
    if not isinstance(mode, bool):
        raise ArgumentError(f"{op}: expected mode True or False, got {mode!r}; pass a bool")
    return mode


def _each_step(function: Callable[..., Any], context: Callable[[], no_grad]) -> Callable[..., Any]:
    """A generator function whose steps, but not what its caller does between them, run under a context."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        steps = function(*args, **kwargs)
        resume = functools.partial(next, steps)
        try:
            while True:
                with context():
                    item = resume()
                try:
                    resume = functools.partial(steps.send, (yield item))
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:
                    resume = functools.partial(steps.throw, error)
        except StopIteration as end:
            return end.value

    return run


def is_grad_enabled() -> bool:
    """Whether operations are recorded here.

    Examples
    --------
    >>> import neurenix as nx
    >>> with nx.no_grad():
    ...     nx.is_grad_enabled()
    False
    """
    return _recording.get()
