# One command each: demo, test, test-fast (under two minutes), fuzz, install, wheel, lint, bench, benchmarks.
# `make PYTHON=python3.12 …` picks another interpreter,
# `make bench BENCH="--source LAKE --json FILE"` gives flags.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST := $(shell find decode -name target -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print 2>/dev/null)
export MATURIN_NO_INSTALL_RUST := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests that stall, wait, kill by the clock and measure have the machine alone, when the others have run two at a time.
ALONE := asking bench full_disks interrupts kill_points kills limits live live_races stalls watching worker_kill_points
ALONE := $(ALONE:%=tests/acceptance/test_%.py) tests/integration

.PHONY: demo test test-fast test-rust fuzz install wheel lint bench benchmarks clean

install: $(VENV)/.built

$(VENV)/.packages: requirements.txt
	@PYTHON=$(PYTHON) tools/preflight.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.txt
	@touch $@

$(VENV)/.built: $(VENV)/.packages pyproject.toml $(RUST)
	@PYTHON=$(PYTHON) tools/preflight.sh
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

wheel: $(VENV)/.packages
	$(BIN)/maturin build --release --out dist

test: install
	$(BIN)/pytest --numprocesses 2 --dist worksteal $(ALONE:%=--ignore=%)
	$(BIN)/pytest $(ALONE)

test-fast: install
	LEDGERFILL_TEST_SEEDS=1000 $(BIN)/pytest --numprocesses 2 --dist worksteal tests/unit tests/simulation

fuzz: install
	LEDGERFILL_TEST_FUZZ_S=60 $(BIN)/pytest -rP tests/unit/test_fuzz.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cargo fmt --manifest-path decode/Cargo.toml --all --check
	cargo clippy --manifest-path decode/Cargo.toml --workspace --all-targets --features python --quiet -- -D warnings

test-rust: install
	cargo test --manifest-path decode/Cargo.toml --workspace --release --quiet --lib --tests

bench: install
	$(BIN)/ledgerfill bench $(BENCH)

benchmarks: install
	@for name in decode worker prove commit plugin protocols latency short run; do $(BIN)/python benchmarks/$$name.py || exit 1; done

demo: install
	@tools/demo.sh

clean:
	rm -rf $(VENV) dist decode/target
