#!/bin/bash
# One Prometheus Pushgateway on loopback (ports and slots: see rig.sh).
#
#   pushgateway.sh start [SLOT]   start it, or find it running; prints "READY prometheus-pushgateway port=… …"
#   pushgateway.sh stop [SLOT]    stop what start started; FAST=1 by SIGKILL, WIPE=1 removes its state
#   pushgateway.sh kill|freeze|thaw [SLOT]   SIGKILL, SIGSTOP, SIGCONT
#
# Ends with 77 where the package is not installed.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
# shellcheck source=tests/rig/one-program.sh
. "$(dirname "$0")/one-program.sh"
serve "${1:-start}" "${2:-0}" prometheus-pushgateway 30 /-/ready

# Debian's keeps what it was pushed in /var/lib/prometheus, for whoever starts one next.
arguments() { echo --web.listen-address="127.0.0.1:$port" --web.enable-admin-api --persistence.file=; }
run
