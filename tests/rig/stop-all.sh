#!/bin/bash
# Stop every server that the rig of this checkout started, and its epmd. FAST=1, WIPE=1 as for one server.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
for dir in "$rig_state"/rabbitmq-[0-8] "$rig_state"/etcd-[0-8]; do
    [ -d "$dir" ] || continue
    name=${dir##*/}
    "$rig_here/${name%-*}.sh" stop "${name##*-}" &
done
wait
# epmd is started by the first Erlang node and stays; it refuses to go while a node is still registered.
if command -v epmd > /dev/null && [ -s "$rig_state/ports" ]; then
    ERL_EPMD_ADDRESS=127.0.0.1 epmd -port $(($(block) + 49)) -kill > /dev/null 2>&1 || true
fi
