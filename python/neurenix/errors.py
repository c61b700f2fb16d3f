"""The exceptions of neurenix: each also is the built-in one that a caller would expect.

A text begins with the function that was called, whatever that is made of: ``addmm`` is refused as ``addmm``, not as the
product inside it. It is looked up when an error is made, so that calls which succeed pay nothing.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType

# Where the functions are that are called by these names; of those loaded so far.
_ROOMS = tuple(
    f"neurenix{room}" for room in ("", ".nn.functional", ".nn.init", ".linalg", ".special", ".metrics", ".labelling", ".multiscale")
)


def _is_public(code: CodeType) -> bool:
    """Whether it is the body of a function that a user finds in a room under its name, or of a tensor's method."""
    found = (vars(sys.modules[room]).get(code.co_name) for room in _ROOMS if room in sys.modules)
    if code.co_qualname.endswith(f"Methods.{code.co_name}"):  # of a tensor
        return not code.co_name.startswith("_") and code.co_name != "backward"
    return any(code in (getattr(f, "__code__", None), getattr(getattr(f, "__wrapped__", f), "__code__", None)) for f in found)


def _called() -> str | None:
    """The outermost public function of the frames that led here without leaving the library or entering a module's call."""
    name: str | None = None
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("neurenix.", "contextlib", "numpy.")):
        code = frame.f_code
        if code.co_qualname == "Module.__call__":
            break
        name = code.co_name if _is_public(code) else name
        frame = frame.f_back
    return name


class NeurenixError(Exception):
    """Every error that neurenix raises on purpose.

    Examples
    --------
    >>> import neurenix as nx
    >>> try:
    ...     nx.zeros(2) + nx.zeros(3)
    ... except nx.errors.NeurenixError as error:
    ...     print(type(error).__name__, isinstance(error, ValueError))
    ShapeError True
    """

    _of_a_call = False  # whether its text begins with the function that was called

    def __init__(self, *texts: object) -> None:
        if self._of_a_call and len(texts) == 1:
            name, colon, rest = str(texts[0]).partition(": ")
            called = _called() if colon and name.isidentifier() else None
            texts = texts if called is None else (f"{called}: {rest}",)
        super().__init__(*texts)


class ShapeError(NeurenixError, ValueError):
    """Sizes or numbers of axes that do not fit.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.mm(nx.zeros(2, 3), nx.zeros(2, 3))
    Traceback (most recent call last):
        ...
    neurenix.errors.ShapeError: mm: expected as many columns as rows, got (2, 3) and (2, 3); transpose one
    """

    _of_a_call = True


class DTypeError(NeurenixError, TypeError):
    """An element type, or a type of argument, that an operation does not take.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.mean(nx.tensor([1, 2]))
    Traceback (most recent call last):
        ...
    neurenix.errors.DTypeError: mean: expected float32 or float64, got int64; convert it with .float()
    """

    _of_a_call = True


class ArgumentError(NeurenixError, ValueError):
    """A value outside what an argument may be.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.set_num_threads(0)
    Traceback (most recent call last):
        ...
    neurenix.errors.ArgumentError: set_num_threads: expected 1 to 1024 threads, got 0; pass the number of cores to use
    """

    _of_a_call = True


class RangeError(NeurenixError, IndexError):
    """An index outside what there is.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.narrow(nx.arange(3), 0, 2, 5)
    Traceback (most recent call last):
        ...
    neurenix.errors.RangeError: narrow: expected a part of 0 to 3, got start 2 and length 5; shorten it
    """

    _of_a_call = True


class DeviceError(NeurenixError, RuntimeError):
    """Arrays on devices that cannot work together, or a device that is not there.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.from_dlpack(nx.zeros(2), device="cuda", copy=False)
    Traceback (most recent call last):
        ...
    neurenix.errors.DeviceError: from_dlpack: expected memory on cuda with copy=False, got cpu; pass copy=None
    """

    _of_a_call = True


class GraphError(NeurenixError, RuntimeError):
    """A gradient that cannot be had: no graph, a graph that is gone, an input overwritten.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> try:
    ...     y.backward()
    ... except nx.errors.GraphError as error:
    ...     print(str(error).partition(",")[0])
    backward: expected the graph behind 'sum'
    """


class AnomalyError(NeurenixError, ArithmeticError, RuntimeError):
    """A NaN, found under ``detect_anomaly``.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([-1.0], requires_grad=True)
    >>> try:
    ...     with nx.detect_anomaly():
    ...         nx.sqrt(x).backward()
    ... except nx.errors.AnomalyError as error:
    ...     print(str(error).partition(",")[0])
    sqrt: expected numbers
    """


class FileError(NeurenixError, ValueError):
    """A file that is not what it should be.

    Examples
    --------
    >>> import neurenix as nx
    >>> with open("weights.nx", "wb") as file:
    ...     _ = file.write(b"not a model")
    >>> try:
    ...     nx.load("weights.nx")
    ... except nx.errors.FileError as error:
    ...     print(str(error).partition(":")[0])
    load
    """


class StateError(NeurenixError, RuntimeError, ValueError):
    """A state dict that does not fit its module; the text has every entry that is wrong.

    Examples
    --------
    >>> import neurenix as nx
    >>> try:
    ...     nx.nn.ReLU().load_state_dict({"weight": nx.zeros(1)})
    ... except nx.errors.StateError as error:
    ...     print(str(error).partition(";")[0])
    load_state_dict: expected the 0 entries of ReLU, got unexpected weight
    """


class BusyError(NeurenixError, RuntimeError):
    """Something that another process is at work on; trying again later helps.

    Examples
    --------
    >>> import neurenix as nx
    >>> issubclass(nx.errors.BusyError, RuntimeError)
    True
    """


class BackendUnavailableError(NeurenixError, RuntimeError):
    """A device whose library or driver is missing.

    Examples
    --------
    >>> import neurenix as nx
    >>> try:
    ...     x = nx.zeros(2, device="cuda:1000")
    ... except nx.errors.BackendUnavailableError:
    ...     x = nx.zeros(2)
    >>> x.device
    'cpu'
    """


class OutOfMemoryError(NeurenixError, MemoryError):
    """Memory could not be had.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.set_memory_limit(2**20)
    >>> try:
    ...     nx.zeros(2**20)
    ... except nx.errors.OutOfMemoryError:
    ...     print("4 MiB do not fit")
    ... finally:
    ...     nx.set_memory_limit(None)
    4 MiB do not fit
    """


class WindowError(ArgumentError):
    """A model whose outputs cannot be had exactly from parts of an image.

    Attributes
    ----------
    multiple : int
        What the window's first pixel should be a multiple of; 1 where that is not what is wrong.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.errors.WindowError("predict: expected ...", multiple=16).multiple
    16
    """

    _of_a_call = False

    def __init__(self, text: str, multiple: int = 1) -> None:
        super().__init__(text)
        self.multiple = multiple


class InternalError(NeurenixError, RuntimeError):
    """A fault of neurenix itself; please report it.

    Examples
    --------
    >>> import neurenix as nx
    >>> issubclass(nx.errors.InternalError, nx.errors.NeurenixError)
    True
    """


class NeurenixWarning(UserWarning):
    """What is likely a mistake, though it can be computed.

    Examples
    --------
    >>> import neurenix as nx
    >>> import warnings
    >>> norm = nx.nn.BatchNorm2d(1)
    >>> _ = norm(nx.ones(1, 1, 2, 2))
    >>> with warnings.catch_warnings(record=True) as found:
    ...     warnings.simplefilter("always")
    ...     y = norm.eval()(nx.ones(1, 1, 2, 2))
    >>> print(str(found[0].message).partition(";")[0])
    BatchNorm2d: expected running statistics of 10 batches or more in evaluation, got 1
    """
