"""The kernel table against the ``.cu`` files, in both directions: names, element types and parameters as written."""

import re

import pytest
from gpu import emulated, kernel_list, nvrtc_check
from unit.test_kernel_table import KERNELS

from neurenix.backend import launch, sources
from neurenix.backend.kernel import VALUES
from neurenix.precision import HALVES, PRECISIONS

STEMS = [name.removesuffix(".cu") for name in sources.names()]
GROUPS = {
    "floats": ("f32", "f64"),
    "numbers": tuple(k for k in sources.KINDS if k != "f16"),
    "every": sources.KINDS,
    "bytes": ("b1", "b2", "b4", "b8"),
}
_TYPES = {
    "Size": "int64",
    "Offset": "int64",
    "Enum": "int64",
    "Key": "uint64",
    "Real": "double",
}
_FIXED = {
    "Index": "int64",
    "IndexOut": "int64",
    "Mask": "unsigned char",
    "MaskOut": "unsigned char",
    "Double": "double",
    "DoubleOut": "double",
    "Other": "void",
}


def parameters(row, rule, last, rounds=False):
    """What a row's kernel must take, as it is to be written in C++."""
    found = []
    for name, role in row.params:
        if role in VALUES:
            found.append(f"{_TYPES[role]} {name}")
            continue
        form, _, inner = role.rstrip("]").rpartition("[")
        const = "" if inner in launch.WRITTEN else "const "
        found.append(f"{const}{_FIXED.get(inner, 'element')}* {name}")
        found += [f"const View {name}_view"] if form == "Strided" else []
        found += [f"int64 {name}_size"] if rule.lengths and form != "Strided" else []
        found += [f"int64 {name}_kind"] if inner == "Other" else []
    found += [f"{'const ' if last else ''}element* scratch"] if rule.scratch is not None else []
    found += ["double* scratch"] if rule.doubles is not None else []
    found += [f"int64 {name}" for name, _ in rule.lets]
    found += ["int64 entry", "int64 entries"] if rule.entries else []
    found += ["int64 round"] if rounds else []
    return ", ".join(found)


@pytest.mark.parametrize("stem", STEMS)
def test_files_declare_rows_of_the_table(stem):
    declared = sources.declared(stem)
    strangers = [row for row, rule in declared if row not in KERNELS or (not rule.kinds and KERNELS[row].stem != stem)]
    assert not strangers, f"{stem}.cu has launch lines for {strangers}, which are no rows of ops/{stem}.py"
    assert declared, f"{stem}.cu has no line `// launch row: ...`"


def test_other_ways_name_their_types_and_settings():
    for row in KERNELS:
        for rule in sources.ways(row):
            assert set(rule.kinds) <= set(sources.GROUPS[KERNELS[row].group]), f"{row}: {rule.kinds}"
            assert rule.precisions
            assert set(rule.precisions) <= {*PRECISIONS, *HALVES}, f"{row}: {rule.precisions}"
            assert row in sources.rules(KERNELS[row].stem), f"{row}: expected a kernel for any card too"


@pytest.mark.parametrize("stem", STEMS)
def test_symbols_and_parameters(stem):
    emulated.require()
    for suffix in ("f32", "b4", "i64", "f16"):
        expected = {
            f"{step.kernel or row}_{suffix}": parameters(KERNELS[row], rule, not step.more, step.times is not None)
            for row, rule in sources.declared(stem)
            if suffix in (rule.kinds or sources.GROUPS[KERNELS[row].group])
            for step in rule.passes
        }
        if expected:
            written = {name: re.sub(r"__restrict__ ", "", params) for name, (_, params) in emulated.module(stem, suffix).kernels.items()}
            assert {name: params.replace("summed", "element") for name, params in written.items()} == expected


@pytest.mark.parametrize("stem", STEMS)
def test_blocks_fit_their_launch_bounds(stem):
    emulated.require()
    for suffix in ("f32", "b4"):
        most = {symbol.rpartition("_")[0]: threads for symbol, (threads, _) in emulated.module(stem, suffix).kernels.items()}
        for row, rule in sources.declared(stem):
            assert all(step.block <= most.get(step.kernel or row, step.block) for step in rule.passes)


@pytest.mark.parametrize("name", sources.names() + sources.names(".cuh"))
def test_sources_say_what_they_are(name):
    text = sources.text(name)
    assert text.startswith(f"// {name} - ")
    assert not name.endswith(".cu") or "never run on a GPU" in text, (
        f"{name}: a kernel that never ran on a GPU says so in its header comment"
    )
    assert "asm" not in text or name == "ptx.cuh", f"{name}: inline PTX stands in one header of its own"
    assert "atomicAdd" not in text, f"{name}: sums are gathers in a fixed order"


def test_sources_keep_the_lines_of_their_files():
    unit = sources.unit("layout", "f32")
    head, _, rest = unit.partition('#line 1 "layout.cu"\n')
    assert "#define NX_NAME(row) row##_f32" in head
    after = rest.rpartition('"layout.cu"\n')
    number = int(re.search(r"#line (\d+) $", after[0])[1])
    own = sources.text("layout.cu").splitlines()
    assert after[2].splitlines() == own[number - 1 :]
    assert "#include" not in unit


@pytest.mark.parametrize("stem", STEMS)
def test_nvrtc_compiles_it_without_spills(stem):
    path = nvrtc_check.library()
    if path is None:
        pytest.skip("NVRTC is not installed: nvidia-cuda-nvrtc-cu12")
    assert nvrtc_check.check(nvrtc_check.Nvrtc(path), stem, "f32", "sm_80") == []


def test_products_and_sums_are_fused_where_written_only():
    path = nvrtc_check.library()
    if path is None:
        pytest.skip("NVRTC is not installed: nvidia-cuda-nvrtc-cu12")
    source = 'extern "C" __global__ void axpy(float* y, float a) { y[0] = a * y[1] + y[2]; y[3] = fmaf(a, y[4], y[5]); }'
    ptx = nvrtc_check.Nvrtc(path).code(source, "axpy.cu", [*sources.OPTIONS, "-arch=compute_80"], "PTX").decode()
    assert ptx.count("fma.rn.f32") == 1
    assert ptx.count("mul.rn.f32") == 1


def test_the_list_of_kernels_is_up_to_date():
    assert kernel_list.LIST.read_text(encoding="utf-8") == kernel_list.text(), "run `python tests/gpu/kernel_list.py`"
