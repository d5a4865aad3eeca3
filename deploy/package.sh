#!/bin/bash
# Make a Debian package below target/debian, and print its path. What is in it: [package.metadata.deb] of Cargo.toml.
#
#   deploy/package.sh          compiles the program as it is shipped (deploy/tuned.sh)
#   PROFILE=dev deploy/package.sh    packs what is compiled already, to try the package
#   NEPHOSCOPE_BINARY=FILE     packs this program, and compiles nothing
#
# Needs cargo-deb: `.ci/tools deb` installs it below target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/target/tools/bin:$PATH
command -v cargo-deb > /dev/null || { echo "cargo-deb is missing: run .ci/tools deb" >&2; exit 1; }
profile=${PROFILE:-release}
binary=${NEPHOSCOPE_BINARY:-}
[ -n "$binary" ] || binary=$(PROFILE=$profile deploy/tuned.sh)
# Two runs at once would mix their files.
mkdir -p target/package target/debian
exec 8> target/package.lock
flock 8
# Packed like any other file: cargo-deb would look for the program where cargo puts it. Symbols stay, for traces that name functions.
strip --strip-debug -o target/package/nephoscope "$binary"
target/package/nephoscope man > target/package/nephoscope.1
target/package/nephoscope completions bash > target/package/nephoscope.bash
target/package/nephoscope completions zsh > target/package/_nephoscope
target/package/nephoscope completions fish > target/package/nephoscope.fish
package=target/debian/nephoscope_$(sed -n '0,/^version = "\(.*\)"/s//\1/p' Cargo.toml)_$(dpkg --print-architecture).deb
fast=()
[ "$profile${NEPHOSCOPE_BINARY:-}" = release ] || fast=(--fast)
cargo-deb --quiet --no-build --no-strip --locked -Z gz "${fast[@]}" --output "$package.new" >&2
# There whole or not at all: another may copy it now.
mv "$package.new" "$package"
echo "$package"
