#!/bin/bash
# Three etcd members that form one cluster, in slots 6, 7 and 8 (see etcd.sh).
#
#   etcd-cluster.sh start   prints three READY lines, then "READY etcd-cluster ports=…"
#   etcd-cluster.sh stop    FAST=1, WIPE=1 as for one member
# One member is killed, frozen or started again by `etcd.sh … 7`: its data folder remembers the others.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
base=$(block) pids=()
each() {
    local slot p code=0
    for slot in 6 7 8; do "$rig_here/etcd.sh" "$1" $slot & pids+=($!); done
    for p in "${pids[@]}"; do wait "$p" || code=1; done
    return $code
}
case ${1:-start} in
    start)
        export ETCD_MEMBERS="slot6=http://127.0.0.1:$((base + 43)),slot7=http://127.0.0.1:$((base + 45)),slot8=http://127.0.0.1:$((base + 47))"
        each start
        echo "READY etcd-cluster ports=$((base + 42)),$((base + 44)),$((base + 46)) secs=$(say_secs)"
        ;;
    stop) each stop ;;
    *) fail "etcd-cluster.sh: '$1' is not one of start, stop" ;;
esac
