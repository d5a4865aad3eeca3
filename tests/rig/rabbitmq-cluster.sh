#!/bin/bash
# Three RabbitMQ nodes that form one cluster, in slots 6, 7 and 8 (see rabbitmq.sh). They start side by side and find
# each other by the configuration; `pause_minority`, so that a node cut off from the others stops serving.
#
#   rabbitmq-cluster.sh start   prints three READY lines, then "READY rabbitmq-cluster ports=…"
#   rabbitmq-cluster.sh stop    FAST=1, WIPE=1 as for one node
# One node is killed, frozen or started again by `rabbitmq.sh … 7`: it remembers its configuration.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
base=$(block) pids=()
each() {
    local slot p code=0
    for slot in 6 7 8; do "$rig_here/rabbitmq.sh" "$1" $slot & pids+=($!); done
    for p in "${pids[@]}"; do wait "$p" || code=1; done
    return $code
}
case ${1:-start} in
    start)
        export RABBITMQ_CONF_EXTRA="cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = rabbit$((base + 6))@localhost
cluster_formation.classic_config.nodes.2 = rabbit$((base + 7))@localhost
cluster_formation.classic_config.nodes.3 = rabbit$((base + 8))@localhost
cluster_partition_handling = pause_minority
${RABBITMQ_CONF_EXTRA:-}"
        export RABBITMQ_WAIT=${RABBITMQ_WAIT:-120}
        each start
        until=$((SECONDS + 30))
        until [ "$("$rig_here/rabbitmq.sh" ctl 6 eval 'length(try rabbit_nodes:list_running() catch error:undef -> rabbit_nodes:all_running() end).' 2> /dev/null)" = 3 ]; do
            [ $SECONDS -lt $until ] || fail "the three RabbitMQ nodes run, but did not become one cluster in 30 s"
            sleep 0.2
        done
        echo "READY rabbitmq-cluster ports=$((base + 6)),$((base + 7)),$((base + 8)) secs=$(say_secs)"
        ;;
    stop) each stop ;;
    *) fail "rabbitmq-cluster.sh: '$1' is not one of start, stop" ;;
esac
