# shellcheck shell=bash
# Sourced by the other scripts here, never run: where the rig keeps its state, and which ports are its own.
#
#   NEPHOSCOPE_GENERATION 3 (the default): RabbitMQ 3.10 and etcd 3.4, installed here from Debian 12
#                         4: RabbitMQ 4.0 and etcd 3.5, in a folder that is Debian 13 (see debian13.sh)
#   NEPHOSCOPE_RIG        folder of all state      (default <repository>/target/rig)
#   NEPHOSCOPE_RIG_PORTS  first of its 200 ports   (default: chosen once per checkout, kept in <state>/ports)
#   NEPHOSCOPE_DEBIAN13   folder of Debian 13      (default <repository>/target/debian13)
#
# A server is named by its generation and its slot. Slot 0 is the one that the whole test run shares, 1 to 5 belong to tests
# that kill or freeze theirs, 6 to 8 are the three nodes of the clusters, 9 is shared too, a RabbitMQ that allows what is deprecated.
# Each generation has 50 ports on 127.0.0.1, the first 50 are those of generation 3:
#   +0..9 AMQP   +10..19 management   +20..29 Erlang distribution   +30,32..46 etcd clients   +31,33..47 etcd peers   +49 epmd
# What publishers publish to is there once, from Debian 12, in slots 0 to 5:
#   +100..105 Gnocchi's API   +110..115 its PostgreSQL   +120..125 Prometheus   +130..135 Pushgateway
# so that two generations, two checkouts on one machine, or a RabbitMQ that was there before, never meet.
set -euo pipefail
# A login shell may turn this on; the server's output is not ours to translate.
export LC_ALL=C.UTF-8
rig_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rig_target=$(cd "$rig_here/../.." && pwd)/target
rig_root=${NEPHOSCOPE_RIG:-$rig_target/rig}
rig_tree=${NEPHOSCOPE_DEBIAN13:-$rig_target/debian13}
rig_generation=${NEPHOSCOPE_GENERATION:-3}
# inside: what a command of this generation's servers begins with, in the scripts that source this.
# shellcheck disable=SC2034
case $rig_generation in
    3) rig_state=$rig_root inside=() ;;
    4) rig_state=$rig_root/4 inside=("$rig_here/inside.sh" "$rig_tree" "$rig_state") ;;
    *) echo "NEPHOSCOPE_GENERATION is '$rig_generation', not one of 3, 4" >&2; exit 1 ;;
esac
mkdir -p "$rig_state"
rig_started=$(date +%s%N)

say_secs() { awk -v a="$rig_started" -v b="$(date +%s%N)" 'BEGIN { printf "%.2f", (b - a) / 1e9 }'; }
fail() { echo "$*" >&2; exit 1; }

# End with 77, which means: this cannot be had here, skip what needs it.
unavailable() { echo "$*" >&2; exit 77; }

# Wait for the lock named $1 (in folder $2); a server must not inherit it: start servers with 8>&-.
hold() { exec 8> "${2:-$rig_state}/$1.lock"; flock 8; }

# True when something listens on a port of the block that begins at $1.
block_is_busy() {
    local line port
    while read -r _ line _ state _; do
        [ "$state" = 0A ] || continue
        port=$((16#${line##*:}))
        if [ "$port" -ge "$1" ] && [ "$port" -lt $(($1 + 200)) ]; then return 0; fi
    done < <(cat /proc/net/tcp /proc/net/tcp6 2> /dev/null)
    return 1
}

# Print the first port of all, chosen once: from the checkout's path, then the next free block.
# 16000 to 31999 lies below the ports that the kernel hands to outgoing connections.
first_port() {
    if [ -n "${NEPHOSCOPE_RIG_PORTS:-}" ]; then echo "$NEPHOSCOPE_RIG_PORTS"; return; fi
    (
        hold ports "$rig_root"
        if [ ! -s "$rig_root/ports" ]; then
            n=$(($(printf %s "$rig_root" | cksum | cut -d' ' -f1) % 80))
            for _ in $(seq 80); do
                block_is_busy $((16000 + 200 * n)) || break
                n=$(((n + 1) % 80))
            done
            echo $((16000 + 200 * n)) > "$rig_root/ports"
        fi
        cat "$rig_root/ports"
    )
}

# Print the first port of what publishers publish to.
destinations() { echo $(($(first_port) + 100)); }

# Print the first port of this generation.
block() {
    local first
    first=$(first_port)
    echo $((first + 50 * (rig_generation - 3)))
}

# True when process $1 lives and has the line $2 in its environment: only such a process is ever signalled.
is_ours() { [ -n "$1" ] && grep -qzxF -- "$2" "/proc/$1/environ" 2> /dev/null; }

# True when process $1 lives and has $2 in its command line: for programs that overwrite their environment.
is_command() { [ -n "$1" ] && tr '\0' ' ' 2> /dev/null < "/proc/$1/cmdline" | grep -qF -- "$2"; }

# Send signal $1 to every process of the group that process $2 leads.
signal_group() { kill -"$1" -- "-$2" 2> /dev/null || true; }

# True when a server on loopback answers GET $2 on port $1 with a 200.
answers_get() {
    local answer
    { exec 9<> "/dev/tcp/127.0.0.1/$1"; } 2> /dev/null || return 1
    printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\r\n' "$2" 1>&9 2> /dev/null || { exec 9>&-; return 1; }
    answer=$(timeout 10 head -n 1 0<&9 2> /dev/null | tr -d '\0' || true)
    exec 9>&-
    case $answer in *' 200 '*) ;; *) return 1 ;; esac
}

# End process $1 with signal $2, and wait up to $3 seconds; then SIGKILL.
end() {
    kill -CONT "$1" 2> /dev/null || true
    kill -"$2" "$1" 2> /dev/null || return 0
    local until=$((SECONDS + $3))
    while alive "$1"; do
        if [ $SECONDS -ge $until ]; then kill -KILL "$1" 2> /dev/null || true; fi
        sleep 0.05
    done
}

# A zombie whose parent has not looked yet is not alive; one whose other threads still close their sockets is.
alive() {
    [ -d "/proc/$1" ] || return 1
    if ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2> /dev/null; then [ -d "/proc/$1" ]; return; fi
    local threads=("/proc/$1/task"/*)
    [ ${#threads[@]} -gt 1 ]
}

# Freeze process $1. SIGSTOP is taken by one thread after another, and one that still runs may answer once more: wait for all.
freeze() {
    local until=$((SECONDS + 10))
    kill -STOP "$1"
    while grep -qE '^State:[[:space:]]*[^TtZ[:space:]]' "/proc/$1/task"/*/status 2> /dev/null; do
        [ $SECONDS -lt $until ] || fail "process $1 is not frozen 10 s after SIGSTOP"
        sleep 0.01
    done
}
