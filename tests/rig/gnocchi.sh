#!/bin/bash
# One Gnocchi 4.4 on loopback: its API under uWSGI, PostgreSQL as the index, files as storage (ports and slots: see rig.sh).
#
#   gnocchi.sh start [SLOT]    start it, or find it running; prints "READY gnocchi port=… …"
#   gnocchi.sh stop [SLOT]     stop what start started; FAST=1 by SIGKILL, WIPE=1 removes its state
#   gnocchi.sh kill|freeze|thaw [SLOT]   SIGKILL to all of it; SIGSTOP, SIGCONT to the API
#
#   GNOCCHI_METRICD   1: measures are worked off in the background, as in a real cloud
#                     0: only by "?refresh=true", so that no result depends on timing (the default)
#   GNOCCHI_AUTH      basic: any user, no password; admin may do all ("Authorization: basic YWRtaW46", the default)
#                     keystone: tokens of the Keystone at GNOCCHI_KEYSTONE (http://127.0.0.1:…/v3)
#   GNOCCHI_WAIT      seconds to wait for readiness (default 110)
#
# Ends with 77 where the packages are not installed. Authentication and metricd are chosen at the first start of a slot that is not running.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
verb=${1:-start} slot=${2:-0}
case $slot in [0-5]) ;; *) fail "gnocchi.sh: slot '$slot' is not one of 0 to 5" ;; esac
# Debian puts uwsgi and its kind into one of these.
export PATH=$PATH:/usr/sbin:/sbin
base=$(destinations)
port=$((base + slot)) pg_port=$((base + 10 + slot))
dir=$rig_root/gnocchi-$slot
until=$((SECONDS + ${GNOCCHI_WAIT:-110}))

pid() { cat "$dir/$1.pid" 2> /dev/null || true; }

# metricd and PostgreSQL overwrite their environment when they set their title: each names its folder in its command line.
runs() {
    case $1 in pg) is_command "$(pid pg)" "-D $dir/pg " ;; *) is_command "$(pid "$1")" "$dir/gnocchi.conf" ;; esac
}

died() {
    tail -5 "$dir/log/$1" >&2
    fail "$1 of Gnocchi $2; its log is $dir/log/$1"
}

# Wait until "$2…" succeeds, as long as process $1 lives.
until_ready() {
    local what=$1
    until "${@:2}"; do
        alive "$(pid "$what")" || died "$what" "died while starting"
        [ $SECONDS -lt $until ] || died "$what" "is not ready after ${GNOCCHI_WAIT:-110} s"
        sleep 0.1
    done
}

# Start a daemon named $1 of the command "$2…", as the leader of its own group.
daemon() {
    cd /
    "${clean[@]}" nohup setsid "${@:2}" > "$dir/log/$1" 2>&1 < /dev/null 8>&- &
    echo $! > "$dir/$1.pid"
}

start_index() {
    # PostgreSQL refuses to run as root: it is the package's user then, who must reach the folder.
    local as=()
    if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid postgres --regid postgres --clear-groups); fi
    if [ ! -s "$dir/pg/PG_VERSION" ]; then
        rm -rf "$dir/pg"
        mkdir "$dir/pg"
        if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$dir/pg"; fi
        (cd / && "${clean[@]}" "${as[@]}" "$pg_bin/initdb" -D "$dir/pg" -U gnocchi -A trust -E UTF8 --locale=C.UTF-8 --no-sync) \
            > "$dir/log/initdb" 2>&1 || died initdb "failed (can user postgres reach the folder?)"
    fi
    # A killed one leaves its file, with the number of a process that may be another's by now.
    rm -f "$dir/pg/postmaster.pid"
    # No unix socket: its path is limited to 107 bytes, and the folder may be deep.
    daemon pg "${as[@]}" "$pg_bin/postgres" -D "$dir/pg" -p "$pg_port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=16MB -c max_connections=50
}

configure() {
    local package keystone=
    package=$(/usr/bin/python3 -c 'import importlib.util as u; print(u.find_spec("gnocchi").submodule_search_locations[0])')
    if [ "${GNOCCHI_AUTH:-basic}" = keystone ]; then
        keystone="[keystone_authtoken]
auth_type = password
www_authenticate_uri = ${GNOCCHI_KEYSTONE:?}
auth_url = $GNOCCHI_KEYSTONE
username = gnocchi
password = gnocchi
project_name = service
user_domain_name = Default
project_domain_name = Default
interface = public
service_token_roles_required = true"
    fi
    cat > "$dir/gnocchi.conf" << C
[DEFAULT]
parallel_operations = 2
[api]
auth_mode = ${GNOCCHI_AUTH:-basic}
paste_config = $package/rest/api-paste.ini
[oslo_policy]
policy_file = $package/rest/policy.yaml
[indexer]
url = postgresql+psycopg2://gnocchi@127.0.0.1:$pg_port/gnocchi
[storage]
driver = file
file_basepath = $dir/storage
[metricd]
workers = 1
metric_processing_delay = 1
metric_reporting_delay = -1
metric_cleanup_delay = 30
$keystone
C
}

upgrade() {
    "$pg_bin/psql" -q -h 127.0.0.1 -p "$pg_port" -U gnocchi -d postgres -c 'create database gnocchi' > "$dir/log/createdb" 2>&1 \
        || grep -q 'already exists' "$dir/log/createdb" || died createdb "failed"
    "${clean[@]}" gnocchi-upgrade --config-file "$dir/gnocchi.conf" --sacks-number 8 > "$dir/log/upgrade" 2>&1 || died upgrade "failed"
    touch "$dir/upgraded"
}

start() {
    local program
    for program in uwsgi gnocchi-upgrade gnocchi-metricd; do
        command -v "$program" > /dev/null || unavailable "Gnocchi is not installed: run \`make deps\` (apt-get install gnocchi-api gnocchi-metricd)"
    done
    pg_bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -1) || unavailable "PostgreSQL is not installed: run \`make deps\` (apt-get install postgresql)"
    if ! runs api && answers_get "$port" /; then fail "cannot start Gnocchi: port $port is taken; remove $rig_root/ports, or set NEPHOSCOPE_RIG_PORTS"; fi
    mkdir -p "$dir"/{log,storage,tmp}
    chmod 755 "$dir"
    # An empty environment: what PG… and OS_… variables say is not for these.
    clean=(env -i PATH="$PATH" HOME="$dir" LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 TMPDIR="$dir/tmp")
    runs pg || start_index
    until_ready pg "$pg_bin/pg_isready" -q -h 127.0.0.1 -p "$pg_port" -U gnocchi -d postgres
    if ! runs api; then configure; fi
    [ -e "$dir/upgraded" ] || upgrade
    if runs api; then
        signal_group CONT "$(pid api)" # a test that died may have left it frozen
    else
        # As Debian's service: no keep-alive, an internal error closes the connection at once.
        daemon api uwsgi --plugin python3 --http-socket "127.0.0.1:$port" --add-header "Connection: close" --buffer-size 65535 --master \
            --enable-threads --lazy-apps --die-on-term --no-orphans --processes 1 --threads 4 --need-app --wsgi gnocchi.rest.wsgi \
            --pyargv "--config-file $dir/gnocchi.conf"
    fi
    if [ "${GNOCCHI_METRICD:-0}" = 1 ] && ! runs metricd; then daemon metricd gnocchi-metricd --config-file "$dir/gnocchi.conf"; fi
    until_ready api answers_get "$port" /
    echo "READY gnocchi pid=$(pid api) port=$port pg_port=$pg_port secs=$(say_secs) dir=$dir"
}

stop() {
    local what p signal
    for what in api metricd pg; do
        p=$(pid "$what")
        if runs "$what"; then
            signal=TERM
            # INT is PostgreSQL's fast shutdown: TERM waits for clients.
            if [ "$what" = pg ]; then signal=INT; fi
            if [ -n "${FAST:-}" ]; then signal_group KILL "$p"; fi
            end "$p" "$signal" 15
            signal_group KILL "$p"
        fi
        rm -f "$dir/$what.pid"
    done
    if [ -n "${WIPE:-}" ]; then rm -rf "$dir"; fi
}

signal() {
    runs api || fail "cannot signal Gnocchi: none of ours runs in slot $slot"
    signal_group "$1" "$(pid api)"
}

case $verb in
    start) hold "gnocchi-$slot" "$rig_root"; start ;;
    stop) hold "gnocchi-$slot" "$rig_root"; stop ;;
    kill) hold "gnocchi-$slot" "$rig_root"; FAST=1 WIPE='' stop ;;
    freeze) signal STOP ;;
    thaw) signal CONT ;;
    *) fail "gnocchi.sh: '$verb' is not one of start, stop, kill, freeze, thaw" ;;
esac
