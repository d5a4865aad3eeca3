# shellcheck shell=bash
# Sourced after rig.sh, never run: a server that is one program on one port. The script that sources this says what it is with
# `serve`, defines `arguments`, which prints the program's arguments (no blanks in any), and ends with `run`.

# $1 the verb, $2 the slot, $3 the program and its Debian package, $4 its first port behind those of all destinations,
# $5 the path that answers with 200 when it serves.
serve() {
    verb=$1 slot=$2 program=$3 ready=$5
    name=$(basename "$0" .sh)
    case $slot in [0-5]) ;; *) fail "$name.sh: slot '$slot' is not one of 0 to 5" ;; esac
    port=$(($(destinations) + $4 + slot))
    dir=${rig_root:?}/$name-$slot
    mark=NEPHOSCOPE_RIG_DIR=$dir
}

pid() { cat "$dir/pid" 2> /dev/null || true; }

start() {
    local until words
    if is_ours "$(pid)" "$mark"; then
        kill -CONT "$(pid)" # a test that died may have left it frozen
    else
        command -v "$program" > /dev/null || unavailable "$program is not installed: run \`make deps\` (apt-get install $program)"
        if answers_get "$port" "$ready"; then fail "cannot start $program: port $port is taken; remove $rig_root/ports, or set NEPHOSCOPE_RIG_PORTS"; fi
        mkdir -p "$dir"
        read -ra words < <(arguments)
        env -i PATH="$PATH" HOME="$dir" "$mark" nohup setsid "$program" "${words[@]}" > "$dir/log" 2>&1 < /dev/null 8>&- &
        echo $! > "$dir/pid"
    fi
    until=$((SECONDS + 60))
    until answers_get "$port" "$ready"; do
        alive "$(pid)" || { tail -5 "$dir/log" >&2; fail "$program died while starting; its log is $dir/log"; }
        [ $SECONDS -lt $until ] || { tail -5 "$dir/log" >&2; fail "$program is not ready after 60 s; its log is $dir/log"; }
        sleep 0.05
    done
    echo "READY $program pid=$(pid) port=$port secs=$(say_secs) dir=$dir"
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
    is_ours "$(pid)" "$mark" || fail "cannot signal $program: none of ours runs in slot $slot"
    "$@" "$(pid)"
}

run() {
    case $verb in
        start) hold "$name-$slot" "$rig_root"; start ;;
        stop) hold "$name-$slot" "$rig_root"; stop ;;
        kill) hold "$name-$slot" "$rig_root"; FAST=1 WIPE='' stop ;;
        freeze) signal freeze ;;
        thaw) signal kill -CONT ;;
        *) fail "$name.sh: '$verb' is not one of start, stop, kill, freeze, thaw" ;;
    esac
}
