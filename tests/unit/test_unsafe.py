"""Where Rust code may be unsafe, and that every place says why it holds.

Three kinds of files may: vectors and the kernels that are written with them or share an output between tasks; the pools of memory and
threads; the binding, which reads NumPy's arrays. A file that is not listed has none, and a list that is too long fails too.
"""

import re
from pathlib import Path

import pytest

RUST = Path(__file__).resolve().parents[2] / "rust"
ALLOWED = {
    "vectors": "simd/mod simd/avx2 simd/avx512 simd/neon simd/pairs simd/portable",
    "pools of memory and threads": "blocks place ranges team threads",
    "strided arrays": "view layout streaming",
    "micro-kernels": """adaptive_pooling conv/* matmul norm norm_planes layer_norm layer_norm_backward softmax turning reduce resize_rows resize_thin
        pooling_blocks elementwise/mod machine""",
    "tasks that share an output": """adaptive_pooling_backward arg_reduce class_loss columns cross_entropy distance loss norm_apply optim optim_more padding
        pooling pooling_backward pooling_rows pooling_separable pooling_sliding random resize sampling scan scatter sort unpooling warp""",
    "binding": "array roles",
}
PLACE = re.compile(r"\bunsafe\s*(\{|impl\b|fn\b|extern\b)")


def sources():
    return sorted(p for crate in ("neurenix-core", "neurenix-py") for p in (RUST / crate / "src").rglob("*.rs"))


def name_of(path):
    return path.with_suffix("").relative_to(RUST / path.relative_to(RUST).parts[0] / "src").as_posix()


def code(line):
    """A line without its comment."""
    return line.split("//")[0]


def places(path):
    """Numbers and lines of a file where something unsafe begins, its tests left out."""
    lines = path.read_text().splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith("#[cfg(test)]")), len(lines))
    return [(i, line) for i, line in enumerate(lines[:end]) if PLACE.search(code(line))], lines


def test_unsafe_stands_in_the_files_that_may_have_it():
    allowed = {name for names in ALLOWED.values() for name in names.split()}
    found = {re.sub("^conv/.*", "conv/*", name_of(p)) for p in sources() if places(p)[0]}
    assert found == allowed, f"not allowed: {sorted(found - allowed)}; allowed without need: {sorted(allowed - found)}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_every_unsafe_place_says_why_it_holds(path):
    """A block or implementation has `SAFETY:` in the comment above it; a function says in `# Safety` what its caller vouches for."""
    found, lines = places(path)
    for i, line in found:
        above = "\n".join(lines[max(0, i - 8) : i + 1])
        private = not re.search(r"\bpub\b", line)
        word = r"# Safety|SAFETY:|^\s*/// " if "unsafe fn" in line and private else r"# Safety|SAFETY:"
        in_trait = "unsafe fn" in line and re.search(r"^impl.* for ", "\n".join(lines[:i]), re.MULTILINE)
        assert in_trait or re.search(word, above, re.MULTILINE), f"{path.name}:{i + 1}: {line.strip()}"


def test_parts_of_a_shared_output_are_checked():
    """They go through one function, which asserts their bounds in every build."""
    text = (RUST / "neurenix-core/src/threads.rs").read_text()
    body = text[text.index("pub unsafe fn slice") :]
    assert "assert!(start <= self.len && len <= self.len - start" in body[:600]
