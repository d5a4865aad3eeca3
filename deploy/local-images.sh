#!/bin/bash
# Make the images of docker-compose.yml from Debian packages, for a machine whose Docker engine reaches no registry.
#
#   deploy/local-images.sh     makes what is missing, writes target/compose.env, prints it
#   docker-compose --env-file target/compose.env up --build
#
#   NEPHOSCOPE_BINARY   program to put into the build image (default: target/release, else target/debug, made if missing)
#   IMAGES              prefix of the tags (default nephoscope-test)
#
# Needs root, apt and debootstrap (`make deps`). All of them are one Debian 13: the folder in which the test rig runs RabbitMQ 4 and
# etcd 3.5 (tests/rig/debian13.sh), made if it is not there. The first run takes half a minute with that folder, later ones a second.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${IMAGES:-nephoscope-test}
# Debian 13 or newer on this machine links with libraries that older images do not have; newer images have what older ones need.
base=$prefix/debian:13
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p target

has_image() { docker image inspect "$1" > /dev/null 2>&1; }
quietly() { "$@" > "$work/log" 2>&1 || { tail -20 "$work/log" >&2; echo "cannot make the images: the end of the log is above" >&2; exit 1; }; }

# Two runs at once would make everything twice.
exec 8> target/local-images.lock
flock 8

if ! has_image "$base"; then
    tree=$(tests/rig/debian13.sh make)
    echo "making $base of $tree"
    # What the rig's servers have mounted in there is theirs alone: it is not seen here.
    tar -C "$tree" --exclude="./${PWD#/}" -c . | docker import - "$base" > /dev/null
fi

# One program of it as an image.
program_image() {
    if has_image "$1"; then return; fi
    echo "making $1"
    mkdir -p "$work/$2"
    printf 'FROM %s\nCMD ["%s"]\n' "$base" "$2" > "$work/$2/Dockerfile"
    DOCKER_BUILDKIT=0 quietly docker build -q -t "$1" "$work/$2"
}
program_image "$prefix/rabbitmq:4" rabbitmq-server
program_image "$prefix/etcd:3.5" etcd

# The build image carries the program; the Dockerfile's build stage then copies instead of compiling.
binary=${NEPHOSCOPE_BINARY:-}
if [ -z "$binary" ]; then
    binary=target/release/nephoscope
    if [ ! -x "$binary" ]; then
        cargo build --locked --bin nephoscope
        binary=target/debug/nephoscope
    fi
fi
mkdir -p "$work/build/prebuilt"
strip -o "$work/build/prebuilt/nephoscope" "$binary" 2> /dev/null || cp "$binary" "$work/build/prebuilt/nephoscope"
printf 'FROM %s\nCOPY prebuilt /prebuilt\n' "$base" > "$work/build/Dockerfile"
DOCKER_BUILDKIT=0 quietly docker build -q -t "$prefix/build:latest" "$work/build"

cat > target/compose.env << END
RABBITMQ_IMAGE=$prefix/rabbitmq:4
ETCD_IMAGE=$prefix/etcd:3.5
BASE_IMAGE=$base
BUILD_IMAGE=$prefix/build:latest
NEPHOSCOPE_IMAGE=$prefix/nephoscope:latest
END
cat target/compose.env
