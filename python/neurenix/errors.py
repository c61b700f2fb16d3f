"""The exceptions of neurenix: each also is the built-in one that a caller would expect."""


class NeurenixError(Exception):
    """Every error that neurenix raises on purpose."""


class ShapeError(NeurenixError, ValueError):
    """Sizes or numbers of axes that do not fit."""


class DTypeError(NeurenixError, TypeError):
    """An element type, or a type of argument, that an operation does not take."""


class ArgumentError(NeurenixError, ValueError):
    """A value outside what an argument may be."""


class RangeError(NeurenixError, IndexError):
    """An index outside what there is."""


class DeviceError(NeurenixError, RuntimeError):
    """Arrays on devices that cannot work together, or a device that is not there."""


class GraphError(NeurenixError, RuntimeError):
    """A gradient that cannot be had: no graph, a graph that is gone, an input overwritten."""


class AnomalyError(NeurenixError, ArithmeticError, RuntimeError):
    """A NaN, found under ``detect_anomaly``."""


class FileError(NeurenixError, ValueError):
    """A file that is not what it should be."""


class StateError(NeurenixError, RuntimeError, ValueError):
    """A state dict that does not fit its module; the text has every entry that is wrong."""


class BusyError(NeurenixError, RuntimeError):
    """Something that another process is at work on; trying again later helps."""


class BackendUnavailableError(NeurenixError, RuntimeError):
    """A device whose library or driver is missing."""


class OutOfMemoryError(NeurenixError, MemoryError):
    """Memory could not be had."""


class WindowError(ArgumentError):
    """A model whose outputs cannot be had exactly from parts of an image.

    Attributes
    ----------
    multiple : int
        What the window's first pixel should be a multiple of; 1 where that is not what is wrong.
    """

    def __init__(self, text: str, multiple: int = 1) -> None:
        super().__init__(text)
        self.multiple = multiple


class InternalError(NeurenixError, RuntimeError):
    """A fault of neurenix itself; please report it."""


class NeurenixWarning(UserWarning):
    """What is likely a mistake, though it can be computed."""
