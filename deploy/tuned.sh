#!/bin/bash
# Compile the program as it is shipped, and print its path: target/tuned/nephoscope.
#
#   deploy/tuned.sh           compiles twice: the compiler knows from the first one at work which ways are often taken
#   TUNED=no deploy/tuned.sh  compiles once, and says where that one is
#
# The first one drains the bundled notifications in between, alone and in a group, from RabbitMQ and etcd of our own. The
# benchmark is what fills the queues for it, so that is compiled too: in all a quarter of an hour on two cores.
# Needs RabbitMQ, etcd and LLVM's llvm-profdata: `.ci/deps tuned` installs them. docs/decisions/0057-tuned.md says why.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${TUNED:-}" = no ]; then
    cargo build --locked --quiet --release --bin nephoscope >&2
    echo "${CARGO_TARGET_DIR:-target}/release/nephoscope"
    exit 0
fi
say() { echo "tuned.sh: $*" >&2; }
# The compiler's own, where rustup has it; else the newest one.
profdata() {
    compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/llvm-profdata" && return
    compgen -c | grep -E '^llvm-profdata(-[0-9]+)?$' | sort -V | tail -1
}
profdata=$(profdata)
[ -n "$profdata" ] || { say "llvm-profdata is missing: run .ci/deps tuned, or set TUNED=no to compile once"; exit 1; }
# With a target of its own cargo keeps the flags from what runs while it compiles.
target=$(rustc --print host-tuple)
place=$PWD/target/tuned
compile() {
    RUSTFLAGS="${RUSTFLAGS:-} $2" cargo build --locked --quiet --release --bin nephoscope --target "$target" --target-dir "$place/$1" >&2
}
say "compiling a program that counts what it does"
compile counting "-Cprofile-generate=$place/counts"
counting=$place/counting/$target/release/nephoscope
# Cargo compiles again where the name differs: the same program needs no second profile.
profile=$place/$(sha256sum "$counting" | cut -c1-16).profdata
if [ ! -e "$profile" ]; then
    say "it drains the bundled notifications"
    rm -rf "$place/counts" "$place"/*.profdata
    trap 'FAST=1 WIPE=1 tests/rig/stop-all.sh' EXIT
    NEPHOSCOPE_BENCH_PROGRAM=$counting cargo bench --locked --quiet --bench throughput -- alone group rated samples >&2
    "$profdata" merge --output="$profile.new" "$place"/counts/*.profraw
    mv "$profile.new" "$profile"
fi
say "compiling it with what was counted"
compile tuning "-Cprofile-use=$profile"
cp "$place/tuning/$target/release/nephoscope" "$place/nephoscope"
echo "$place/nephoscope"
