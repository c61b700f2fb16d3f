# Everything one does here. `make` lists the targets; each works from a clean clone and needs nothing prepared.
# Only relative paths: the directory may have spaces in its name.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# In the environment of the project and nowhere else, whatever environment is active outside.
export VIRTUAL_ENV := $(CURDIR)/.venv
export NO_MKDOCS_2_WARNING := 1
export PIP_QUIET := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport CONDA_PREFIX PYTHONPATH PYTHONHOME
PY := .venv/bin/python
CHECKED := python tests benches docs
PEERS ?= build/peers/bin/python
UNDER_MIRI := arg_reduce:: blocks:: error:: layout:: padding:: scan:: scatter:: sort:: unpooling:: view::
SOURCES := pyproject.toml Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name 'Cargo.toml')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: .venv/built-demo ## train a U-Net on a real microscopy image and show what it finds in a part it never saw
	@$(PY) -m neurenix.examples.nuclei

.PHONY: test
test: ## everything that must hold: lints, Rust and Python tests, oracle, wheel, documentation's code
	@tests/tools/check_machine test
	@$(MAKE) lint rust-test wheel-test cuda-check docs pytest

.PHONY: develop
develop: .venv/built-test ## build the extension into .venv, with what the tests need

.PHONY: lint
lint: .venv/built-test ## ruff, mypy (strict), rustfmt, clippy (warnings denied)
	$(PY) -m ruff check $(CHECKED)
	$(PY) -m ruff format --check $(CHECKED)
	$(PY) -m mypy
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings

.PHONY: format
format: .venv/built-test ## rewrite the sources as the lints want them
	$(PY) -m ruff check --fix --quiet $(CHECKED)
	$(PY) -m ruff format $(CHECKED)
	cargo fmt --all

.PHONY: stub
stub: .venv/built-test ## write python/neurenix/_rust.pyi from the kernel table, after adding a kernel
	$(PY) tests/tools/make_stub.py

.PHONY: names
names: .venv/built-test ## write tests/unit/public_names.txt, after adding a public name
	$(PY) tests/unit/test_public_names.py

.PHONY: examples
examples: .venv/built-test ## shorten tests/unit/without_example.txt, after giving docstrings examples
	$(PY) tests/unit/test_docstrings.py

.PHONY: misuses
misuses: .venv/built-test ## write what each line of tests/unit/misuses.txt raises, after adding a public name
	$(PY) tests/unit/test_misuses.py

.PHONY: work
work: .venv/built-test ## write tests/unit/work.txt and tests/gpu/work.txt: what a U-Net does, counted, after a change that costs more or less
	$(PY) tests/unit/test_work.py
	$(PY) tests/gpu/test_work_on_a_gpu.py

.PHONY: coverage
coverage: .venv/built-test ## write docs/coverage.md: operation by operation, what it does and what checks it
	$(PY) tests/tools/coverage.py

.PHONY: rust-test
rust-test: ## the Rust core's own tests
	@tests/tools/check_machine
	cargo test --quiet --package neurenix-core

.PHONY: pytest
pytest: .venv/built-test ## the Python tests, warnings as errors, in two processes
	$(PY) -m pytest -q -n 2 --dist worksteal

.PHONY: test-slurm
test-slurm: .venv/built-test ## job scripts under a real SLURM of two nodes, started for it here (minutes; as root it installs what is missing)
	$(PY) -m pytest -q tests/slurm/jobs_under_slurm.py

.PHONY: oracle
oracle: .venv/built-test ## expected results of operations, layers and optimizers, in both precisions: a table by family
	$(PY) tests/oracle/table.py

.PHONY: fuzz
fuzz: .venv/built-test ## random calls of kernels, model and image files for MINUTES=10; findings are kept in tests/fuzz/corpus
	$(PY) tests/fuzz/run.py

.PHONY: kill-test
kill-test: .venv/built-test ## kill predictions of large images and trainings at ROUNDS=100 random places each: nothing is lost, the files are the same (minutes)
	NEURENIX_KILLS=$${ROUNDS:-100} $(PY) -m pytest -q tests/slides/test_kills.py tests/command/test_kills.py

.PHONY: soak
soak: .venv/built-test ## train, kill and resume at random moments for MINUTES=30 under a limit of memory: the files of a run that was left alone
	$(PY) tests/soak.py --minutes $(or $(MINUTES),30)

.PHONY: sanitize
sanitize: ## the Rust core's tests under address sanitizer, and a part of them under Miri where a nightly toolchain has it (minutes)
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=detect_leaks=0 \
	  cargo test --quiet --package neurenix-core --lib --target x86_64-unknown-linux-gnu --target-dir target/sanitize
	@cargo +nightly miri --version >/dev/null 2>&1 || { echo "no Miri: rustup +nightly component add miri rust-src"; exit 0; }; \
	  NEURENIX_NUM_THREADS=1 MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-tree-borrows" cargo +nightly miri test --package neurenix-core --lib \
	    --target-dir target/miri -- $(UNDER_MIRI)

.PHONY: arm
arm: ## check that the Rust core compiles for aarch64, and run its tests where qemu-aarch64 and a cross linker are (minutes)
	@rustc --print target-libdir --target aarch64-unknown-linux-gnu | xargs test -d || { echo "no library for it: rustup target add aarch64-unknown-linux-gnu"; exit 1; }
	cargo check --quiet --package neurenix-core --target aarch64-unknown-linux-gnu --target-dir target/aarch64
	@command -v qemu-aarch64 aarch64-linux-gnu-gcc >/dev/null || { echo "checked; to run its tests: qemu-user, gcc-aarch64-linux-gnu"; exit 0; }; \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
	    cargo test --quiet --package neurenix-core --lib --target aarch64-unknown-linux-gnu --target-dir target/aarch64

.PHONY: wheel-test
wheel-test: .venv/built-test ## build wheel and sdist, install the wheel in a new environment outside the tree, use it there
	$(PY) tests/tools/check_wheel.py

.PHONY: bench
bench: .venv/built-test $(if $(filter build/peers/%,$(PEERS)),build/peers/.made) ## time the library beside its peers in half an hour and write docs/performance.md; PEERS=PYTHON has others, PEERS=none ours alone
	PYTHONPATH=python $(if $(filter none,$(PEERS)),$(PY),$(PEERS)) benches/run.py $(BENCH)

.PHONY: docs
docs: .venv/built-docs ## build the documentation into site/, strictly, its pictures by the library itself
	$(PY) -m mkdocs build --config-file .mkdocs.yml --strict --quiet
	@echo "built: open site/index.html; with its search: python3 -m http.server --directory site"

.PHONY: cuda-errors
cuda-errors: .venv/built-test build/cupy/.made ## what the library says with the real CuPy beside no GPU
	PYTHONPATH=build/cupy $(PY) -m pytest -q tests/gpu/test_door.py

.PHONY: cuda-check
cuda-check: cuda-errors ## compile the CUDA kernels for every architecture, print their registers (a minute or two, what has not changed at once; no GPU needed)
	$(PY) tests/gpu/nvrtc_check.py

.PHONY: browser-test
browser-test: .venv/built-test ## the page of `neurenix eval --report` in headless Chromium; without one it fails
	NEURENIX_REQUIRE_CHROMIUM=1 $(PY) -m pytest -q tests/command/test_report.py

.PHONY: gpu-test
gpu-test: .venv/built-test build/cupy/.made ## the tests for a machine with a GPU; without one they fail
	NEURENIX_REQUIRE_GPU=1 PYTHONPATH=build/cupy $(PY) -m pytest -q -m gpu tests/gpu

.PHONY: bench-tiles
bench-tiles: .venv/built-test ## predict a generated image of 20,000 x 20,000 pixels under a gigabyte: time, memory and work, planned and measured; goes on if it was ended; MODEL=large: 31 million parameters under three, SIZE=pixels
	$(PY) benches/tiles.py --model $(or $(MODEL),small) --size $(or $(SIZE),20000) $(BENCH)

.PHONY: gpu-bench
gpu-bench: .venv/built-test build/cupy/.made ## a GPU beside its limits, and beside PyTorch with cuDNN where that is installed
	PYTHONPATH=build/cupy $(PY) benches/cuda_conv.py
	PYTHONPATH=build/cupy $(PY) benches/cuda_memory.py

.PHONY: gpu-pack
gpu-pack: .venv/built-test ## pack wheel, tests and benchmarks for a machine with a GPU and without Rust or network: build/neurenix-gpu.tar.gz
	$(PY) tests/tools/pack_gpu build/neurenix-gpu.tar.gz

.PHONY: clean
clean: ## remove what was built
	rm -rf .venv target dist site build runs .mypy_cache .ruff_cache python/neurenix/_rust.abi3.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/made:
	@tests/tools/check_machine
	@echo "making .venv and building the library: two to four minutes, once"
	@"$$(tests/tools/check_machine --python)" -m venv --clear .venv
	@$(PY) -m pip install "maturin>=1.7,<2"
	@touch $@

build/cupy/.made: .venv/made
	@echo "installing CuPy into build/cupy, once"
	@$(PY) -m pip install --upgrade --target build/cupy "cupy-cuda12x>=14"
	@touch $@

build/peers/.made: benches/peers.txt
	@echo "making build/peers: the libraries that the benchmarks compare with, some gigabytes, once"
	@"$$(tests/tools/check_machine --python)" -m venv --clear build/peers
	@while read -r peer; do build/peers/bin/python -m pip install "$$peer" || echo "left out, not installable here: $$peer"; done < benches/peers.txt
	@touch $@

.venv/built-%: .venv/made $(SOURCES)
	@tests/tools/check_machine
	@$(PY) -m maturin develop --release --quiet --extras $*
	@# As an installer does: an import then takes half the time even where Python may not write bytecode itself.
	@$(PY) -m compileall -q python/neurenix
	@touch $@
