# The front door. What stands behind it are the ecosystem's own commands, so each also runs alone.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What tools/setup.sh installs, before what the machine has.
export PATH := $(CURDIR)/target/tools/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

# In the order in which they run: what fails soonest comes first.
steps := setup fmt clippy docs unit planted doctests c python e2e test-kernel torture

.PHONY: help demo test fix deny bench bench-placement beside-pacemaker plants demo-setup tidy $(steps)

help: ## this list
	@sed -nE 's/^##@ (.*)/\n\1:/p; s/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 24

##@ The two commands

demo: demo-setup ## three hosts, one LUN, one guest: watch it survive
	@echo "building (the first time this takes a few minutes)"
	cargo build --release --locked -p quorate-cli
	@target/release/quorate demo --summary target/demo/summary.json

test: ## the steps below, in order; it changes nothing in the tree
	@tools/test.sh $(steps)

##@ Every day

fix: ## formats, mends what clippy can mend, writes generated files anew
	cargo fmt
	cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
	UPDATE=1 cargo test --quiet -p quorate-core --lib -- --test-threads 1 corpus states
	UPDATE=1 cargo test --quiet -p quorate-c
	UPDATE=1 cargo test --quiet -p quorate-tests --test docs

deny: ## licences, sources and known faults of dependencies: before one is added or changed
	@tools/setup.sh deny
	@tools/deny.sh

bench: ## measures speed, as ratios within one run
	cargo bench --locked -p quorate-benches --bench decide --bench simulate --bench placement

bench-placement: ## placement beside Pacemaker's scheduler; installs that one's command line tools
	@tools/setup.sh bench-placement
	cargo bench --locked -p quorate-benches --bench placement --bench pacemaker

# Other clusters: make beside-pacemaker SEED=2 CLUSTERS=5000 LEVEL=single (or pairs).
SEED ?= 1
CLUSTERS ?= 1000
LEVEL ?= all
beside-pacemaker: ## decisions beside Pacemaker's scheduler, on random small clusters; installs that one's tools
	@tools/setup.sh bench-placement
	cargo build --release --locked -p quorate-cli
	python3 tests/beside_pacemaker --quorate target/release/quorate --seed $(SEED) --clusters $(CLUSTERS) --level $(LEVEL)

plants: ## puts every bug on purpose into the simulator: who catches it, and how soon
	cargo run --quiet --release --locked -p quorate-sim --features plants --example plants

tidy: ## the rules that no compiler knows (part of unit)
	cargo nextest run --locked -p quorate-tests --test tidy

##@ The steps of make test

setup: ## installs what is missing here
	@tools/setup.sh test

demo-setup:
	@tools/setup.sh demo

fmt: ## the format of the Rust code
	cargo fmt --check

clippy: ## lints, in every crate and every test
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs: ## the documentation of every public item
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

unit: ## every Rust test but those of make e2e
	cargo nextest run --locked --profile ci

planted: ## bugs on purpose are caught; the rest of make plants takes longer
	cargo nextest run --locked --release --profile ci -p quorate-sim --features plants --test plants

doctests: ## the examples in the documentation
	cargo test --locked --doc

c: ## the C programs: C11 and C++17, under the address sanitizer
	tests/c/run.sh

python: ## the Python package, from a wheel in a fresh environment
	tests/python/run.sh

e2e: ## the story of the demo, on real parts, with its assertions
	tests/e2e/run.sh

test-kernel: ## LUNs on a real kernel: Debian's, under QEMU, as its own SCSI target
	tests/kernel/run.sh

torture: ## a simulated year of faults; debug and release must do the same, to the byte
	tests/torture/run.sh
