#!/bin/bash
# booted.sh TREE FOLDER   boot the systemd of the folder TREE, have it run FOLDER/script once, and end with that script's exit code.
#
# TREE is a Debian with systemd in it (debian12.sh, debian13.sh). Nothing in it changes: what is written goes into memory, and is gone
# at the end. FOLDER is /inside there; what the script prints is in FOLDER/printed. The network is this machine's.
#
# systemd is process 1 of namespaces of its own, in a control group of its own. Ends with 77 where that cannot be: no root, or no
# control groups.
# shellcheck source=tests/rig/rig.sh
. "$(dirname "$0")/rig.sh"
tree=$1 folder=$2
[ "$(id -u)" = 0 ] || unavailable "systemd is booted by root alone"
[ -x "$tree/lib/systemd/systemd" ] || unavailable "there is no systemd in $tree; remove that folder, then run \`make deps\`"
groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$groups" ] || unavailable "there are no control groups of version 2"
group=$groups/nephoscope-booted-$$
mkdir "$group" 2> /dev/null || unavailable "cannot make a control group below $groups"

# shellcheck disable=SC2317 # the trap calls it
cleanup() {
    echo 1 > "$group/cgroup.kill" 2> /dev/null || true
    # The kernel takes a moment; its groups are removed from the innermost on.
    for _ in $(seq 50); do
        find "$group" -depth -type d -exec rmdir {} + 2> /dev/null || true
        [ -e "$group" ] || break
        sleep 0.1
    done
}
trap cleanup EXIT

cat > "$folder/boot" << 'B'
set -e
tree=$1 folder=$2
mount -t tmpfs -o size=2g none "$folder/memory"
mkdir "$folder/memory/upper" "$folder/memory/work" "$folder/memory/root"
root=$folder/memory/root
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$folder/memory/upper,workdir=$folder/memory/work" "$root"
mkdir -p "$root/inside"
mount --bind "$folder" "$root/inside"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs none "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
mount -t tmpfs none "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"
cat > "$root/etc/systemd/system/inside.service" << 'U'
[Unit]
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/inside/script
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
TimeoutStartSec=infinity
StandardOutput=file:/inside/printed
StandardError=inherit
U
mkdir "$root/former"
cd "$root"
pivot_root . former
umount -l /former
rmdir /former
export container=nephoscope
exec /lib/systemd/systemd --system --unit=inside.service --log-target=journal --show-status=0
B
mkdir -p "$folder/memory"
: > "$folder/printed"
chmod +x "$folder/script"
# It dies with this script, however that ends.
(
    echo "$BASHPID" > "$group/cgroup.procs"
    exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --propagation private \
        bash "$folder/boot" "$tree" "$folder"
) < /dev/null &
trap 'exit 143' TERM INT
code=0
wait $! || code=$?
exit "$code"
