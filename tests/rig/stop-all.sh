#!/bin/bash
# Stop every server that the rig of this checkout started, of both generations, and their epmd. FAST=1, WIPE=1 as for one server.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
for NEPHOSCOPE_GENERATION in 3 4; do
    export NEPHOSCOPE_GENERATION
    state=$rig_root
    if [ "$NEPHOSCOPE_GENERATION" = 4 ]; then state=$rig_root/4; fi
    for dir in "$state"/rabbitmq-[0-9] "$state"/etcd-[0-9]; do
        [ -d "$dir" ] || continue
        name=${dir##*/}
        "$rig_here/${name%-*}.sh" stop "${name##*-}" &
    done
done
for dir in "$rig_root"/{gnocchi,prometheus,pushgateway}-[0-5]; do
    [ -d "$dir" ] || continue
    name=${dir##*/}
    NEPHOSCOPE_GENERATION=3 "$rig_here/${name%-*}.sh" stop "${name##*-}" &
done
wait
# epmd is started by the first Erlang node and stays; it refuses to go while a node is still registered.
if command -v epmd > /dev/null && [ -n "${NEPHOSCOPE_RIG_PORTS:-}$(cat "$rig_root/ports" 2> /dev/null)" ]; then
    first=$(first_port)
    for port in $((first + 49)) $((first + 99)); do ERL_EPMD_ADDRESS=127.0.0.1 epmd -port "$port" -kill > /dev/null 2>&1 || true; done
fi
