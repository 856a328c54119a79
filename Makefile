# The two commands a newcomer needs: `make serve` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# TORCH=0 leaves out the large wheel that only the autoencoder needs.
TORCH ?= 1
HOST ?= 127.0.0.1
PORT ?= 14345

# Machines that switch bytecode off pay for it at every start of the server.
unexport PYTHONDONTWRITEBYTECODE
# A venv that happens to be active elsewhere must not take our packages.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME

EXTRAS := $(if $(filter 0,$(TORCH)),,--extra torch)
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint ci/constraints.txt
CHECKED := python tests bench examples

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev serve test test-rust test-loom test-stress test-python check format lint bench bench-smoke miri clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.built  ## Make .venv, install pinned dependencies, build the release extension

serve: setup  ## Serve on 127.0.0.1:14345 (HOST=, PORT=, TORCH=0)
	exec $(BIN)/millstream serve --host $(HOST) --port $(PORT)

test: test-rust test-loom test-stress test-python  ## The same set-up, then every test, Rust and Python

check: lint test bench-smoke  ## Everything CI runs: format, lint, types, stubs, layers, tests, bench smoke run

# One stamp a step: a step runs again only when what it depends on changed.
$(VENV)/.created: ci/tools.sh
	@sh ci/tools.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint ci/constraints.txt uv
	@touch $@

$(VENV)/.installed-torch$(TORCH): $(VENV)/.created pyproject.toml ci/constraints.txt
	@echo "Installing dependencies ..."
	$(UV) $(EXTRAS) --requirements pyproject.toml maturin
	@touch $@

$(VENV)/.built: $(VENV)/.installed-torch$(TORCH) $(RUST_SOURCES)
	@echo "Building the extension (the first time takes a minute or two) ..."
	MATURIN_PEP517_ARGS=--locked $(UV) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m millstream.warm_up
	@touch $@

$(VENV)/.dev: setup pyproject.toml ci/constraints.txt
	@test $@ -nt pyproject.toml -a $@ -nt ci/constraints.txt || { $(UV) --group dev && touch $@; }

setup-dev: $(VENV)/.dev

test-rust: setup  ## Rust tests (no Python needed)
	cargo test --locked --package millstream-core

test-loom: setup  ## Model checks of the ring's orderings
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --locked --release --package millstream-core --lib ring

test-stress: setup  ## One writer, four readers, ten million rows
	cargo test --locked --release --package millstream-core --test stress

test-python: setup-dev  ## Python tests
	$(BIN)/python -m pytest

lint: setup-dev  ## Format, clippy, ruff, mypy, stub check, import layers
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest millstream._core
	$(BIN)/lint-imports

format: setup-dev  ## Rewrite the sources in the project's format
	cargo fmt
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/ruff check --fix $(CHECKED)

bench: setup-dev  ## Every benchmark, with its peer in the same run; writes bench/RESULTS.md
	$(BIN)/python -m pytest bench --timeout 900 --benchmark-autosave --results bench/RESULTS.md

bench-smoke: setup-dev
	MILLSTREAM_BENCH=smoke $(BIN)/python -m pytest bench

miri:  ## The unsafe parts under Miri (needs a nightly toolchain with the component miri)
	MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=target/miri cargo +nightly miri test --locked --package millstream-core --lib ring

clean:  ## Remove everything the other targets made
	rm -rf $(VENV) target
