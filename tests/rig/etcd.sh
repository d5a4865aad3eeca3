#!/bin/bash
# One etcd on loopback, of the generation NEPHOSCOPE_GENERATION, with its own ports and state folder (see rig.sh).
#
#   etcd.sh start [SLOT]       start it, or find it running; prints "READY etcd port=… …"
#   etcd.sh stop [SLOT]        stop what start started; FAST=1 by SIGKILL, WIPE=1 removes its state
#   etcd.sh kill|freeze|thaw [SLOT]   SIGKILL, SIGSTOP, SIGCONT
#
#   ETCD_MEMBERS   the whole cluster, "slot7=http://127.0.0.1:…,…" (default: this one alone)
#   ETCD_EXTRA     further arguments of etcd; PORT in them is the client port
#   ETCD_WAIT      seconds to wait for readiness (default 30)
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
verb=${1:-start} slot=${2:-0}
case $slot in [0-8]) ;; *) fail "etcd.sh: slot '$slot' is not one of 0 to 8" ;; esac
base=$(block)
port=$((base + 30 + 2 * slot)) peer=$((base + 31 + 2 * slot))
dir=$rig_state/etcd-$slot
mark=NEPHOSCOPE_RIG_DIR=$dir

pid() { cat "$dir/pid" 2> /dev/null || true; }

# /health says true only when there is a leader: a member of a cluster that waits for the others does not serve.
serves() {
    local answer
    { exec 9<> "/dev/tcp/127.0.0.1/$port"; } 2> /dev/null || return 1
    printf 'GET /health HTTP/1.0\r\n\r\n' 1>&9 2> /dev/null || { exec 9>&-; return 1; }
    answer=$(timeout 2 cat 0<&9 2> /dev/null || true)
    exec 9>&-
    case $answer in *'"health":"true"'*) ;; *) return 1 ;; esac
}

start() {
    local until extra
    read -ra extra <<< "${ETCD_EXTRA:-}"
    extra=("${extra[@]//PORT/$port}")
    if is_ours "$(pid)" "$mark"; then
        kill -CONT "$(pid)" # a test that died may have left it frozen
    else
        if [ "$rig_generation" = 4 ]; then
            "$rig_here/debian13.sh" make > /dev/null
        else
            command -v etcd > /dev/null || fail "etcd is not installed: run \`make deps\` (apt-get install etcd-server)"
        fi
        if serves; then fail "cannot start etcd: port $port is taken; remove $rig_root/ports, or set NEPHOSCOPE_RIG_PORTS"; fi
        mkdir -p "$dir"
        chmod 700 "$dir"
        # An empty environment: every ETCD_… variable would be a setting.
        env -i PATH="$PATH" ETCD_UNSUPPORTED_ARCH="${ETCD_UNSUPPORTED_ARCH:-}" "$mark" \
            nohup setsid "${inside[@]}" etcd --name "slot$slot" --data-dir "$dir/data" \
            --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
            --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
            --initial-cluster "${ETCD_MEMBERS:-slot$slot=http://127.0.0.1:$peer}" --initial-cluster-token rig \
            --logger zap --log-outputs stderr --unsafe-no-fsync "${extra[@]}" > "$dir/log" 2>&1 < /dev/null 8>&- &
        echo $! > "$dir/pid"
    fi
    until=$((SECONDS + ${ETCD_WAIT:-30}))
    until serves; do
        alive "$(pid)" || { tail -5 "$dir/log" >&2; fail "etcd died while starting; its log is $dir/log"; }
        [ $SECONDS -lt $until ] || { tail -5 "$dir/log" >&2; fail "etcd is not ready after ${ETCD_WAIT:-30} s; its log is $dir/log"; }
        sleep 0.05
    done
    echo "READY etcd pid=$(pid) port=$port secs=$(say_secs) dir=$dir"
}

stop() {
    local p
    p=$(pid)
    if is_ours "$p" "$mark"; then
        if [ -n "${FAST:-}" ]; then end "$p" KILL 10; else end "$p" TERM 15; fi
    fi
    rm -f "$dir/pid"
    if [ -n "${WIPE:-}" ]; then rm -rf "$dir"; fi
}

signal() {
    is_ours "$(pid)" "$mark" || fail "cannot signal etcd: none of ours runs in slot $slot"
    "$@" "$(pid)"
}

case $verb in
    start) hold "etcd-$slot"; start ;;
    stop) hold "etcd-$slot"; stop ;;
    kill) hold "etcd-$slot"; FAST=1 WIPE='' stop ;;
    freeze) signal freeze ;;
    thaw) signal kill -CONT ;;
    *) fail "etcd.sh: '$verb' is not one of start, stop, kill, freeze, thaw" ;;
esac
