#!/bin/bash
# Make the images of docker-compose.yml from Debian packages, for a machine whose Docker engine reaches no registry.
#
#   deploy/local-images.sh     makes what is missing, writes target/compose.env, prints it
#   docker-compose --env-file target/compose.env up --build
#
#   NEPHOSCOPE_BINARY   program to put into the build image (default: target/release, else target/debug, made if missing)
#   IMAGES              prefix of the tags (default nephoscope-test)
#
# Needs root, apt and debootstrap (`make deps`). The first run takes about two minutes, later ones a second.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${IMAGES:-nephoscope-test}
# The same Debian as here, so that the program finds the libraries it was linked with.
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
[ -n "$suite" ] || { echo "cannot make Debian images here: /etc/os-release names no release of Debian" >&2; exit 1; }
base=$prefix/debian:$suite
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p target

has_image() { docker image inspect "$1" > /dev/null 2>&1; }
quietly() { "$@" > "$work/log" 2>&1 || { tail -20 "$work/log" >&2; echo "cannot make the images: the end of the log is above" >&2; exit 1; }; }

# Two runs at once would make everything twice.
exec 8> target/local-images.lock
flock 8

if ! has_image "$base"; then
    command -v debootstrap > /dev/null || { echo "debootstrap is missing: run \`make deps\` (apt-get install debootstrap)" >&2; exit 1; }
    echo "making $base with debootstrap"
    mirror=$(apt-cache policy | awk -v want="$suite/main" '$3 == want && !found++ { print $2 }')
    quietly debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/root" ${mirror:+"$mirror"}
    rm -rf "$work/root/var/cache/apt/archives"/*.deb "$work/root/var/lib/apt/lists"/*
    tar -C "$work/root" -c . | docker import - "$base" > /dev/null
    rm -rf "$work/root"
fi

# One Debian package set as an image: tag, packages, program to run.
from_packages() {
    local tag=$1 packages=$2 program=$3
    if has_image "$tag"; then return; fi
    echo "making $tag from $packages"
    mkdir -p "$work/$program"
    cat > "$work/$program/Dockerfile" << END
FROM $base
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages && rm -rf /var/lib/apt/lists/*
CMD ["$program"]
END
    DOCKER_BUILDKIT=0 quietly docker build -q -t "$tag" "$work/$program"
}
from_packages "$prefix/rabbitmq:$suite" rabbitmq-server rabbitmq-server
from_packages "$prefix/etcd:$suite" "etcd-server etcd-client" etcd

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
RABBITMQ_IMAGE=$prefix/rabbitmq:$suite
ETCD_IMAGE=$prefix/etcd:$suite
BASE_IMAGE=$base
BUILD_IMAGE=$prefix/build:latest
NEPHOSCOPE_IMAGE=$prefix/nephoscope:latest
END
cat target/compose.env
