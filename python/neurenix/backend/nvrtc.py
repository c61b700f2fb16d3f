"""The CUDA compiler NVRTC through CuPy's binding, and which architecture a card's kernels are compiled for. Needs no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from neurenix.backend import cubins, sources
from neurenix.errors import BackendUnavailableError, InternalError

OLDEST: Final = 70  # Volta: the first with independent threads, which our kernels count on


class Target(NamedTuple):
    """What a card's kernels are compiled for: its own machine code, or PTX that the driver translates for a card newer than NVRTC."""

    architecture: str  # "sm_90" or "compute_90"

    @property
    def capability(self) -> int:
        """The compute capability, 90 for 9.0."""
        return int(self.architecture.partition("_")[2])

    @property
    def option(self) -> str:
        """The compiler's option."""
        return f"-arch={self.architecture}"


class Compiler:
    """NVRTC; ``cupy`` is the package or what stands in for it."""

    def __init__(self, cupy: Any) -> None:
        self.nvrtc = cupy.cuda.nvrtc
        self.version: tuple[int, int] = tuple(self.nvrtc.getVersion())
        self.versions = f"cupy {cupy.__version__} nvrtc {self.version[0]}.{self.version[1]}"

    def supported(self) -> list[int]:
        """Architectures that this NVRTC compiles for, e.g. ``[70, 75, 80, 90]``."""
        return sorted(int(a) for a in self.nvrtc.getSupportedArchs())

    def target(self, capability: str, card: str) -> Target:
        """What to compile for on a card of this compute capability, ``"90"`` for 9.0."""
        have, known = int(capability), self.supported()
        wanted = max(OLDEST, known[0])
        if have < wanted:
            newer = f"; cupy-cuda12x still knows cards from {OLDEST // 10}.{OLDEST % 10} on" if have >= OLDEST else ""
            raise BackendUnavailableError(
                f"cuda: expected a GPU of compute capability {wanted // 10}.{wanted % 10} or newer, got {card} with {have // 10}.{have % 10}"
                f"{newer}; choose another with CUDA_VISIBLE_DEVICES, or stay on device='cpu'"
            )
        if have in known:
            return Target(f"sm_{have}")
        return Target(f"compute_{max(a for a in known if a <= have)}")

    def file(self, stem: str, suffix: str, target: Target) -> tuple[Path, bool]:
        """The compiled file of a stem for one element type, and whether it was compiled now."""
        source, options = sources.unit(stem, suffix), (*sources.OPTIONS, target.option)
        key = cubins.key_of(source, options, self.versions)
        return cubins.compiled(key, lambda: self.compile(source, f"{stem}.cu", options))

    def compile(self, source: str, name: str, options: tuple[str, ...]) -> bytes:
        """Machine code, or PTX where the options ask for a virtual architecture."""
        program = self.nvrtc.createProgram(source, name, (), ())
        try:
            self.nvrtc.compileProgram(program, options)
            binary = self.nvrtc.getCUBIN if any(o.startswith("-arch=sm_") for o in options) else self.nvrtc.getPTX
            code = binary(program)
            return code.encode() if isinstance(code, str) else bytes(code)
        except self.nvrtc.NVRTCError as error:
            log = self.nvrtc.getProgramLog(program)
            raise InternalError(
                f"internal: {name} does not compile with NVRTC {self.version} {' '.join(options)}: {error}\n{log}"
            ) from None
        finally:
            self.nvrtc.destroyProgram(program)
