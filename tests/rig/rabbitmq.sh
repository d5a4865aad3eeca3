#!/bin/bash
# One RabbitMQ node on loopback, of the generation NEPHOSCOPE_GENERATION, with its own ports, cookie, epmd and state folder
# (see rig.sh). Where it knows of deprecated features (generation 4) it denies all of them, but for slot 9.
#
#   rabbitmq.sh start [SLOT]       start it, or find it running; prints "READY rabbitmq port=… …"
#   rabbitmq.sh stop [SLOT]        stop what start started; FAST=1 by SIGKILL, WIPE=1 removes its state
#   rabbitmq.sh kill|freeze|thaw [SLOT]   SIGKILL, SIGSTOP, SIGCONT
#   rabbitmq.sh ctl SLOT ARGUMENT…        rabbitmqctl against it
#
#   MANAGEMENT=1          with the management plugin (a second slower to start)
#   RABBITMQ_CONF_EXTRA   further lines of rabbitmq.conf; kept for later starts, until WIPE=1. Of these, the comment
#                         "# rig: management" is MANAGEMENT=1, and "# rig: feature_flags=a,b" enables these alone at first start
#   RABBITMQ_WAIT         seconds to wait for readiness (default 90)
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
verb=${1:-start} slot=${2:-0}
case $slot in [0-9]) ;; *) fail "rabbitmq.sh: slot '$slot' is not one of 0 to 9" ;; esac
base=$(block)
port=$((base + slot)) management=$((base + 10 + slot))
node=rabbit$port@localhost
dir=$rig_state/rabbitmq-$slot
mark=RABBITMQ_MNESIA_BASE=$dir/mnesia
deprecated=(amqp_address_v1 classic_queue_mirroring global_qos management_metrics_collection queue_master_locator ram_node_type
    transient_nonexcl_queues)

pid() { cat "$dir/pid" 2> /dev/null || true; }

# The AMQP 0-9-1 header goes out; the first byte of a METHOD frame (01) must come back. A listening port is not enough:
# RabbitMQ listens before it serves.
serves() {
    local answer
    { exec 9<> "/dev/tcp/127.0.0.1/$port"; } 2> /dev/null || return 1
    printf 'AMQP\x00\x00\x09\x01' 1>&9 2> /dev/null || { exec 9>&-; return 1; }
    answer=$(timeout 2 head -c 1 0<&9 2> /dev/null | od -An -tx1 | tr -d ' \n')
    exec 9>&-
    [ "$answer" = 01 ]
}

server_programs() {
    local found tree=
    if [ "$rig_generation" = 4 ]; then tree=$("$rig_here/debian13.sh" make); fi
    for found in "$tree"/usr/lib/rabbitmq/bin "$tree"/usr/lib/rabbitmq/lib/*/sbin; do
        if [ -x "$found/rabbitmq-server" ]; then echo "${found#"$tree"}"; return; fi
    done
    fail "RabbitMQ is not installed: run \`make deps\` (apt-get install rabbitmq-server)"
}

# Everything that the server and rabbitmqctl must know, in one file that both read.
write_state() {
    local programs plugins='[].' feature feature_flags
    programs=$(server_programs)
    mkdir -p "$dir"/{mnesia,log,home}
    if [ -n "${RABBITMQ_CONF_EXTRA+set}" ]; then echo "$RABBITMQ_CONF_EXTRA" > "$dir/extra.conf"; fi
    if grep -qsx '# rig: management' "$dir/extra.conf"; then MANAGEMENT=1; fi
    feature_flags=$(sed -n 's/^# rig: feature_flags=/export RABBITMQ_FEATURE_FLAGS=/p' "$dir/extra.conf" 2> /dev/null || true)
    printf nephoscope-rig > "$dir/home/cookie.new"
    chmod 400 "$dir/home/cookie.new" # Erlang refuses a cookie that others can read
    mv -f "$dir/home/cookie.new" "$dir/home/.erlang.cookie"
    {
        echo "listeners.tcp.1 = 127.0.0.1:$port"
        echo "log.console = false"
        echo "log.file = rabbit.log"
        # The defaults are shares of the machine; a laptop with a full disk would block every publisher.
        echo "disk_free_limit.absolute = 200MB"
        echo "vm_memory_high_watermark.absolute = 4GB"
        if [ -n "${MANAGEMENT:-}" ]; then
            plugins='[rabbitmq_management].'
            echo "management.tcp.ip = 127.0.0.1"
            echo "management.tcp.port = $management"
        fi
        # What a broker may refuse from its next release on. `rabbitmqctl list_deprecated_features` names them.
        if [ "$rig_generation" = 4 ] && [ "$slot" != 9 ]; then
            for feature in "${deprecated[@]}"; do echo "deprecated_features.permit.$feature = false"; done
        fi
        cat "$dir/extra.conf" 2> /dev/null || true
    } > "$dir/rabbitmq.conf"
    echo "$plugins" > "$dir/enabled_plugins"
    : > "$dir/rabbitmq-env.conf" # else the machine's own is read
    cat > "$dir/env.sh" << END
export HOME='$dir/home' LANG=C.UTF-8 LC_ALL=C.UTF-8
export RABBITMQ_CONF_ENV_FILE='$dir/rabbitmq-env.conf'
export RABBITMQ_NODENAME=$node RABBITMQ_USE_LONGNAME=false
export RABBITMQ_CONFIG_FILE='$dir/rabbitmq.conf' RABBITMQ_ENABLED_PLUGINS_FILE='$dir/enabled_plugins'
export RABBITMQ_MNESIA_BASE='$dir/mnesia' RABBITMQ_LOG_BASE='$dir/log'
export RABBITMQ_PID_FILE='$dir/pid.erl' RABBITMQ_GENERATED_CONFIG_DIR='$dir/generated'
export RABBITMQ_DIST_PORT=$((base + 20 + slot)) ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((base + 49))
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
export RABBITMQ_CTL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
export PATH='$programs':\$PATH
$feature_flags
END
}

launch() {
    rm -f "$dir/pid" "$dir/pid.erl"
    nohup setsid "${inside[@]}" rabbitmq-server > "$dir/log/console" 2>&1 < /dev/null 8>&- &
    launcher=$!
}

start() {
    local launcher='' until again=5
    if is_ours "$(pid)" "$mark"; then
        kill -CONT "$(pid)" # a test that died may have left it frozen
    else
        if serves; then fail "cannot start RabbitMQ: port $port is taken; remove $rig_root/ports, or set NEPHOSCOPE_RIG_PORTS"; fi
        write_state
        # shellcheck source=/dev/null
        . "$dir/env.sh"
        ulimit -n 65536 2> /dev/null || ulimit -n "$(ulimit -Hn)" || true
        cd "$dir"
        launch
    fi
    until=$((SECONDS + ${RABBITMQ_WAIT:-90}))
    until serves; do
        if [ -n "$launcher" ] && ! kill -0 "$launcher" 2> /dev/null && ! is_ours "$(cat "$dir/pid.erl" 2> /dev/null)" "$mark"; then
            # RabbitMQ 4.0 that was killed looks for transient queues before it has its tables, now and then, and ends. Its service
            # manager would start it again.
            if [ $again -gt 0 ] && grep -q failed_to_deny_deprecated_features "$dir/log/console"; then
                again=$((again - 1))
                launch
                continue
            fi
            tail -20 "$dir/log/console" >&2
            fail "RabbitMQ died while starting; its logs are in $dir/log"
        fi
        [ $SECONDS -lt $until ] || fail "RabbitMQ is not ready after ${RABBITMQ_WAIT:-90} s; its logs are in $dir/log"
        # As soon as there is a pid it is kept, so that stop finds a node whose start was interrupted. A node that dies while it
        # starts takes its file away.
        if [ -s "$dir/pid.erl" ]; then cp "$dir/pid.erl" "$dir/pid" 2> /dev/null || true; fi
        sleep 0.05
    done
    if [ -s "$dir/pid.erl" ]; then cp "$dir/pid.erl" "$dir/pid"; fi
    echo "READY rabbitmq pid=$(pid) port=$port management=$management node=$node secs=$(say_secs) dir=$dir"
}

stop() {
    local p
    p=$(cat "$dir/pid" 2> /dev/null || cat "$dir/pid.erl" 2> /dev/null || true)
    if is_ours "$p" "$mark"; then
        if [ -n "${FAST:-}" ]; then end "$p" KILL 10; else end "$p" TERM 30; fi
    fi
    rm -f "$dir/pid" "$dir/pid.erl"
    if [ -n "${WIPE:-}" ]; then rm -rf "$dir"; fi
}

signal() {
    is_ours "$(pid)" "$mark" || fail "cannot signal RabbitMQ: no node of ours runs in slot $slot"
    "$@" "$(pid)"
}

case $verb in
    start) hold "rabbitmq-$slot"; start ;;
    stop) hold "rabbitmq-$slot"; stop ;;
    kill) hold "rabbitmq-$slot"; FAST=1 WIPE='' stop ;;
    freeze) signal freeze ;;
    thaw) signal kill -CONT ;;
    ctl)
        # shellcheck source=/dev/null
        . "$dir/env.sh"
        shift 2
        exec "${inside[@]}" rabbitmqctl --quiet "$@"
        ;;
    *) fail "rabbitmq.sh: '$verb' is not one of start, stop, kill, freeze, thaw, ctl" ;;
esac
