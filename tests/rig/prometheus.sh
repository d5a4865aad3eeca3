#!/bin/bash
# One Prometheus on loopback that takes remote writes, and scrapes nothing but what PROMETHEUS_SCRAPE names (ports and slots: see rig.sh).
#
#   prometheus.sh start [SLOT]   start it, or find it running; prints "READY prometheus port=… …"
#   prometheus.sh stop [SLOT]    stop what start started; FAST=1 by SIGKILL, WIPE=1 removes its state
#   prometheus.sh kill|freeze|thaw [SLOT]   SIGKILL, SIGSTOP, SIGCONT
#
#   PROMETHEUS_SCRAPE   "127.0.0.1:PORT/PATH" to scrape every second (default: nothing)
#
# Ends with 77 where the package is not installed. Remote writes go to /api/v1/write.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
# shellcheck source=tests/rig/one-program.sh
. "$(dirname "$0")/one-program.sh"
serve "${1:-start}" "${2:-0}" prometheus 20 /-/ready

configured() {
    local scrape=${PROMETHEUS_SCRAPE:-}
    [ -n "$scrape" ] || { echo 'scrape_configs: []'; return; }
    cat << C
scrape_configs:
  - job_name: nephoscope
    scrape_interval: 1s
    honor_labels: true
    honor_timestamps: true
    metrics_path: /${scrape#*/}
    static_configs: [{targets: ["${scrape%%/*}"]}]
C
}

arguments() {
    configured > "$dir/prometheus.yml"
    echo --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" --web.listen-address="127.0.0.1:$port" \
        --web.enable-remote-write-receiver --web.enable-lifecycle
}
run
