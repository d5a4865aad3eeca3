#!/bin/bash
# Compile the program as it is shipped, and print its path: target/tuned/nephoscope.
#
#   deploy/tuned.sh           compiles twice: the compiler knows from the first one at work which ways are often taken
#   TUNED=no deploy/tuned.sh  compiles once, and says where that one is; PROFILE=dev does so, too, with that profile
#   deploy/tuned.sh profdata  prints which llvm-profdata it uses, and compiles nothing
#
# The first one drains the bundled notifications in between, alone and in a group, from RabbitMQ and etcd of our own. The
# benchmark is what fills the queues for it, so that is compiled too: in all a quarter of an hour on two cores.
# Needs RabbitMQ, etcd and LLVM's llvm-profdata: `.ci/deps tuned` installs them. docs/decisions/0057-tuned.md says why.
set -euo pipefail
cd "$(dirname "$0")/.."
# The compiler's own, where rustup has it; else the newest one, if it is of LLVM 19 or later: an older one cannot read the counts.
profdata() {
    local found newest
    compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/llvm-profdata" && return
    newest=$(for found in $(compgen -c | grep -E '^llvm-profdata(-[0-9]+)?$' | sort -u); do
        echo "$("$found" merge --version 2> /dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p') $found"
    done | sort -n | tail -1)
    [ "${newest%% *}" -ge 19 ] 2> /dev/null && echo "${newest#* }"
}
if [ "${1:-}" = profdata ]; then
    profdata
    exit
fi
profile=${PROFILE:-release}
if [ "${TUNED:-}" = no ] || [ "$profile" != release ]; then
    cargo build --locked --quiet --profile "$profile" --bin nephoscope >&2
    echo "${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}/nephoscope"
    exit
fi
say() { echo "tuned.sh: $*" >&2; }
profdata=$(profdata) || { say "llvm-profdata is missing: run .ci/deps tuned, or set TUNED=no to compile once"; exit 1; }
# Where a target is named, cargo does not use the flags for build scripts and macros.
target=$(rustc --print host-tuple)
place=$PWD/target/tuned
compile() {
    RUSTFLAGS="${RUSTFLAGS:-} $2" cargo build --locked --quiet --release --bin nephoscope --target "$target" --target-dir "$place/$1" >&2
}
say "compiling a program that counts what it does"
compile counting "-Cprofile-generate=$place/counts"
counting=$place/counting/$target/release/nephoscope
# Cargo only sees the name of a profile. The same counting program has the same name, and needs no second run.
counted=$place/$(sha256sum "$counting" | cut -c1-16).profdata
if [ ! -e "$counted" ]; then
    say "it drains the bundled notifications"
    rm -rf "$place/counts" "$place"/*.profdata
    trap 'FAST=1 WIPE=1 tests/rig/stop-all.sh' EXIT
    NEPHOSCOPE_BENCH_PROGRAM=$counting cargo bench --locked --quiet --bench throughput -- alone group rated samples >&2
    "$profdata" merge --output="$counted.new" "$place"/counts/*.profraw
    mv "$counted.new" "$counted"
fi
say "compiling it with what was counted"
compile tuning "-Cprofile-use=$counted"
cp "$place/tuning/$target/release/nephoscope" "$place/nephoscope"
echo "$place/nephoscope"
