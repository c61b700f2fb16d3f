"""As much of CuPy as the library uses, on the emulated GPU: devices, streams with events, pinned memory, a pool that can be full.

Copies on a stream that is not the default one are *late*: they happen when somebody waits for their event, and not before. So
who forgets to wait computes with what was in memory, and who lets pinned memory go too early is caught.
"""

import functools
import types
import weakref
from pathlib import Path

import numpy as np
from gpu import emulated
from gpu.emulated import EmulatedArray, EmulatedModule


class CUDARuntimeError(RuntimeError):
    """CuPy's error of the runtime."""


class OutOfMemoryError(MemoryError):
    """CuPy's error of its pool."""


class NVRTCError(RuntimeError):
    """CuPy's error of the compiler."""


class FakeArray(EmulatedArray):
    """What looks like cupy.ndarray to the door."""

    index = 0
    cupy = None

    def __array_finalize__(self, parent):
        self.index, self.cupy = getattr(parent, "index", 0), getattr(parent, "cupy", None)

    def again(self, array):
        out = array.view(FakeArray)
        out.index, out.cupy = self.index, self.cupy
        return out

    @property
    def data(self):
        me = self

        def copy_from_device_async(source, nbytes, stream):
            me.view(np.ndarray)[...] = source.array.view(np.ndarray)
            me.cupy.log.append(("peer", source.array.index, me.index, stream.name))

        address = self.view(np.ndarray).__array_interface__["data"][0]
        return types.SimpleNamespace(ptr=address, array=self, copy_from_device_async=copy_from_device_async)

    @property
    def device(self):
        return types.SimpleNamespace(id=self.index)

    def set(self, host, stream):
        """Queue a copy from pinned memory; the memory is looked for when it happens."""
        assert host.base is not None and self.cupy.is_pinned(host), "an asynchronous copy needs pinned memory"
        kept, target = weakref.ref(host), self

        def copy():
            source = kept()
            assert source is not None, "pinned memory went before its copy"
            target.view(np.ndarray)[...] = emulated.door.from_numpy(source, "emulated").view(np.ndarray)

        stream.pending.append(copy)
        self.cupy.log.append(("copy", stream.name))

    def get(self, stream, out, blocking):
        """Queue a copy into pinned memory; both are looked for when it happens."""
        assert not blocking
        assert self.cupy.is_pinned(out), "an asynchronous copy needs pinned memory"
        assert self.flags.c_contiguous
        assert (out.shape, out.dtype) == (self.shape, self.dtype)
        mine, target = weakref.ref(self), weakref.ref(out)

        def copy():
            source, host = mine(), target()
            assert source is not None, "the GPU's memory went before its copy"
            assert host is not None, "pinned memory went before its copy"
            host[...] = emulated.door.to_numpy(source)

        stream.pending.append(copy)
        self.cupy.log.append(("copy back", stream.name))


class FakeEvent:
    """A place in a stream's work."""

    def __init__(self, stream):
        self.stream, self.place, self.asked = stream, len(stream.pending), 0

    @property
    def done(self):
        """Whether its work is done; who asks for the third time sees it done the next time."""
        found = self.stream.ran >= self.place
        self.asked += 1
        if self.asked == 3:
            self.stream.run(self.place)
        return found


class FakeStream:
    """Work in order; what waits in ``pending`` runs when somebody needs it."""

    def __init__(self, cupy, name):
        self.cupy, self.name, self.pending, self.ran = cupy, name, [], 0
        self.ptr = 0 if name == "default" else id(self)

    def record(self, event=None):
        return FakeEvent(self)

    def wait_event(self, event):
        self.cupy.log.append(("wait", self.name, event.stream.name))
        event.stream.run(event.place)

    def run(self, place):
        """Do its work up to a place in it."""
        while self.ran < place:
            self.pending[self.ran]()
            self.ran += 1

    def __enter__(self):
        self.before, self.cupy.stream = self.cupy.stream, self
        return self

    def __exit__(self, *_):
        self.cupy.stream = self.before


class FakeNvrtc:
    """A compiler whose machine code is the source itself."""

    NVRTCError = NVRTCError
    archs = (70, 75, 80, 86, 89, 90)

    def __init__(self):
        self.compiled = []

    def getVersion(self):
        return (12, 9)

    def getSupportedArchs(self):
        return self.archs

    def createProgram(self, source, name, headers, names):
        return types.SimpleNamespace(source=source, name=name)

    def compileProgram(self, program, options):
        self.compiled.append((program.name, options))

    def getCUBIN(self, program):
        return program.source.encode()

    def getPTX(self, program):
        return program.source

    def getProgramLog(self, program):
        return "log"

    def destroyProgram(self, program):
        pass


class FakeCuPy(types.SimpleNamespace):
    """The module ``cupy`` with two devices; it records copies, waits, launches and their streams."""

    def __init__(self, count=2, capabilities=("90", "90"), memory=None):
        self.current, self.launches, self.log, self.used, self.limit = 0, [], [], [0] * count, memory
        self.capabilities, self.freed, self.properties = capabilities, 0, {"name": b"Fake H100"}
        self.default = self.stream = FakeStream(self, "default")
        self._pinned = weakref.WeakValueDictionary()
        runtime = types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            getDeviceCount=lambda: count,
            getDevice=lambda: self.current,
            driverGetVersion=lambda: 12090,
            runtimeGetVersion=lambda: 12090,
            getDeviceProperties=lambda index: self.properties,
            memGetInfo=lambda: (self._free(), self.limit or 80 << 30),
        )
        cuda = types.SimpleNamespace(
            runtime=runtime,
            nvrtc=FakeNvrtc(),
            Device=self._device,
            Stream=lambda non_blocking: FakeStream(self, "copies"),
            get_current_stream=lambda: self.stream,
            alloc_pinned_memory=self._pinned_memory,
        )
        super().__init__(ndarray=FakeArray, cuda=cuda, __version__="14.2.0")

    # --- devices

    def _device(self, index):
        fake = self

        class Device:
            id, compute_capability, attributes = index, self.capabilities[index], {"MultiProcessorCount": 4}

            def __enter__(self):
                self.before, fake.current = fake.current, index
                return self

            def __exit__(self, *_):
                fake.current = self.before

            def use(self):
                fake.current = index

            def synchronize(self):
                fake.log.append(("synchronize", index))

        return Device()

    # --- memory

    def _free(self):
        return (self.limit or 80 << 30) - self.used[self.current]

    def _pinned_memory(self, nbytes):
        memory = np.zeros(nbytes, np.uint8)
        self._pinned[id(memory)] = memory
        return memory

    def is_pinned(self, host):
        while isinstance(host, (np.ndarray, memoryview)):
            if id(host) in self._pinned:
                return True
            host = host.base if isinstance(host, np.ndarray) else host.obj
        return False

    def placed(self, array):
        index, nbytes, owner = self.current, array.nbytes, array.view(np.ndarray)
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        self.used[index] += nbytes
        weakref.finalize(owner, self._release, index, nbytes)
        out = array.view(FakeArray)
        out.index, out.cupy = index, self
        return out

    def _release(self, index, nbytes):
        self.used[index] -= nbytes

    def _require(self, nbytes):
        if self.limit is not None and nbytes > self._free():
            raise OutOfMemoryError(f"Out of memory allocating {nbytes} bytes")

    def empty(self, shape, dtype):
        self._require(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return self.placed(emulated.door.empty(shape, np.dtype(dtype), "emulated"))

    def asarray(self, array):
        self._require(array.nbytes)
        return self.placed(emulated.door.from_numpy(array, "emulated"))

    def asnumpy(self, array):
        return emulated.door.to_numpy(array)

    def get_default_memory_pool(self):
        return types.SimpleNamespace(used_bytes=lambda: self.used[self.current], free_bytes=lambda: 24, free_all_blocks=self._free_all)

    def get_default_pinned_memory_pool(self):
        return types.SimpleNamespace(free_all_blocks=self._free_all)

    def _free_all(self):
        self.freed += 1

    # --- kernels

    def RawModule(self, *, path):
        module = module_of(Path(path).read_text(encoding="utf-8"))

        def get_function(name):
            kernel = module.get_function(name)

            def run(grid, block, args):
                self.launches.append((name, self.current, self.stream.name))
                kernel(grid, block, args)

            return run

        return types.SimpleNamespace(get_function=get_function)


@functools.cache
def module_of(source):
    """A unit compiled for the emulator."""
    return EmulatedModule(source)


def in_place(monkeypatch, cupy):
    """Let the library find this CuPy, and forget every door afterwards."""
    from neurenix.backend import doors, packages

    monkeypatch.setattr(doors, "_BY_NAME", {k: v for k, v in doors._BY_NAME.items() if k != "cuda"})
    monkeypatch.setattr(doors, "_BY_TYPE", {k: v for k, v in doors._BY_TYPE.items() if k is not FakeArray})
    if cupy is not None:
        monkeypatch.setattr(packages, "installed", lambda: {"cupy-cuda12x": "14.2.0"})
        monkeypatch.setattr(packages, "import_module", lambda name: cupy)
    return cupy
