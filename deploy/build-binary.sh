#!/bin/bash
# Put the nephoscope binary into folder $1. The build stage of the Dockerfile runs this.
# A build image that carries the program already (deploy/local-images.sh makes one) is not made to compile it again.
set -euo pipefail
mkdir -p "$1"
if [ -x /prebuilt/nephoscope ]; then
    cp /prebuilt/nephoscope "$1/nephoscope"
    exit 0
fi
# etcd-client compiles etcd's .proto files, and those import Google's.
if ! command -v protoc > /dev/null || [ ! -e /usr/include/google/protobuf/any.proto ]; then
    apt-get update -q
    apt-get install -y -q --no-install-recommends protobuf-compiler libprotobuf-dev
fi
cargo build --release --locked --bin nephoscope
cp target/release/nephoscope "$1/nephoscope"
