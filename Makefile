# make demo    build, and run three agents in one process, no server needed
# make test    install what is missing, build, run every check and test
# make help    the rest
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: help deps tools build demo test check release bench fuzz sim images deb stop clean

# Rust where rustup puts it, also when the shell does not know yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Without Rust, or with one too old, one line says what to install.
WANTED := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
FOUND := $(shell PATH="$(PATH)"; command -v cargo > /dev/null && rustc --version 2> /dev/null | cut -d' ' -f2)
ifneq ($(MAKECMDGOALS),help)
ifeq ($(FOUND),)
$(error Rust is missing: install Rust $(WANTED) or newer with rustup (rustup toolchain install stable))
endif
ifneq ($(firstword $(shell printf '%s\n' $(WANTED) $(FOUND) | sort -V)),$(WANTED))
$(error Rust $(FOUND) is too old: install Rust $(WANTED) or newer (rustup update stable))
endif
endif

SCRIPTS := $(wildcard .ci/* tests/rig/*.sh tests/deploy/*.sh deploy/*.sh deploy/compose/*.sh deploy/deb/p* deploy/kolla-ansible/ceilometer-agent-notification)
# On a terminal cargo shows its progress; elsewhere three hundred lines of "Compiling" would hide ours.
QUIET := $(shell test -t 2 || echo --quiet)

help:
	@echo "make build   the library and the binary (target/debug/nephoscope)"
	@echo "make demo    three agents in one process, bundled notifications, one agent killed; no server needed"
	@echo "make test    install what is missing from Debian, then every check and test, as .ci/run does"
	@echo "make check   the quick checks alone: format, lints, scripts, messages of commits, spelling, licences"
	@echo "make tools   install typos and cargo-deny below target/tools, which Debian does not have; takes minutes"
	@echo "make release the archive of a release below target/release-archive, in a quarter of an hour: docs/releasing.md; TUNED=no compiles once"
	@echo "make deb     the Debian package of a release below target/debian: docs/installing.md; TUNED=no as for release"
	@echo "make bench   throughput, CPU, latency, memory beside bare loops and Ceilometer; GROWTH=1: how cost grows"
	@echo "make fuzz    what senders and operators may write, changed at random: SECONDS=600 for each of three readers"
	@echo "make sim     whole agents simulated from seeds, with faults: SEEDS=20000 of them, FROM=0 on"
	@echo "make chaos   faults on real RabbitMQ and etcd under load, more than two hours: SCENARIO=kill,roll,gnocchi RATE=2000 SECONDS=120 QUEUES=classic,quorum,cluster,compose GENERATION=3,4 BEFORE=/older/nephoscope"
	@echo "make deps    install what is missing from Debian (RabbitMQ, etcd, protoc, …), and typos"
	@echo "make images  container images made from Debian packages, where no registry is reached"
	@echo "make stop    stop the servers that tests left running"

deps:
	@.ci/deps
	@.ci/tools typos
	@.ci/tools charts
	@.ci/tools deb

tools:
	@.ci/tools

build:
	@.ci/deps build
	cargo build --locked

demo:
	@.ci/deps build
	@echo "building (about five minutes the first time, on two cores)"
	@CARGO_INCREMENTAL=0 cargo build --locked $(QUIET)
	@target/debug/nephoscope demo

check:
	cargo fmt --all --check
	shellcheck -x $(SCRIPTS)
	@.ci/commits
	@.ci/tools check
	cargo clippy --locked $(QUIET) --workspace --all-targets -- -D warnings

# Cheap checks first. No `cargo build` of its own: tests need tokio with its test features, so it would compile the
# dependencies a second time.
test: deps check
	cargo test --locked --workspace --doc $(QUIET)
	@.ci/tests

# What is needed to compile what is shipped (deploy/tuned.sh; TUNED=no: once). The agent that is measured is that, too.
FOR_SHIPPING := $(if $(filter no,$(TUNED)),build,tuned)

# At most ten minutes of running: the parts of the conversion and the placing get a second each, the agent with a publisher
# that is away ten. GROWTH=1 prints how cost grows instead.
BENCHES := $(if $(GROWTH),conversion throughput,conversion placement throughput allocations publishers)
bench:
	@.ci/deps
	@.ci/deps $(FOR_SHIPPING)
	@trap 'FAST=1 WIPE=1 tests/rig/stop-all.sh' EXIT; program=$$(deploy/tuned.sh); \
	DIVAN_MAX_TIME=1 NEPHOSCOPE_BENCH_AWAY_SECONDS=10 NEPHOSCOPE_BENCH_PROGRAM=$$(realpath "$$program") \
	cargo bench --locked --workspace $(QUIET) $(BENCHES:%=--bench %) $(if $(GROWTH),-- growth)

# Seconds for each target; what fails prints how to have it again.
fuzz: SECONDS = 600
fuzz:
	NEPHOSCOPE_FUZZ_SECONDS=$(SECONDS) cargo test --locked $(QUIET) --test pure -- --nocapture fuzz::

# What fails prints how to play it again.
sim: SEEDS = 20000
sim: FROM = 0
sim:
	NEPHOSCOPE_SIMULATOR_SEEDS=$(SEEDS) NEPHOSCOPE_SIMULATOR_FROM=$(FROM) \
	    cargo test --locked $(QUIET) --workspace --test simulator -- --nocapture every_promise

# What is wished is empty for all; the table is kept in target/tmp/chaos-full.md. What is measured is what is shipped: --release.
chaos:
	@.ci/deps
	@trap 'FAST=1 WIPE=1 tests/rig/stop-all.sh' EXIT; \
	NEPHOSCOPE_CHAOS_SCENARIO="$(SCENARIO)" NEPHOSCOPE_CHAOS_RATE="$(RATE)" NEPHOSCOPE_CHAOS_SECONDS="$(SECONDS)" \
	NEPHOSCOPE_CHAOS_QUEUES="$(QUEUES)" NEPHOSCOPE_CHAOS_GENERATION="$(GENERATION)" NEPHOSCOPE_CHAOS_BEFORE="$(BEFORE)" cargo test --release --locked $(QUIET) --test chaos -- --ignored --nocapture

release:
	@.ci/deps $(FOR_SHIPPING)
	@.ci/release

deb:
	@.ci/deps $(FOR_SHIPPING)
	@.ci/tools deb
	@deploy/package.sh

images:
	@deploy/local-images.sh

stop:
	@FAST=1 WIPE=1 tests/rig/stop-all.sh

clean: stop
	tests/rig/debian12.sh remove
	tests/rig/debian13.sh remove
	cargo clean
