#!/bin/bash
# Run by tests/package.rs in a booted Debian (tests/rig/booted.sh), with the package and the address of a broker in /inside.
# It prints what it finds, each thing under a title; the test knows what is right.
set -uo pipefail
package=$(ls /inside/*.deb) broker=$(cat /inside/broker)
unit=nephoscope.service
title() { printf '## %s\n' "$*"; }
# Everything on the disk that is not memory, and not ours.
everything() { find / -xdev -path /inside -prune -o -printf '%M %u:%g %p\n' | sort -k 3; cat /etc/passwd /etc/group /etc/shadow; }
show() { for property in "$@"; do systemctl show -p "$property" "$unit"; done; }
# Until a command is fine, for a while.
until_fine() { for _ in $(seq 300); do if "$@" > /dev/null 2>&1; then return; fi; sleep 0.1; done; echo "waited in vain for: $*"; }
# `is-active` is content with a reload that goes on.
active() { [ "$(systemctl show -P ActiveState "$unit")" = active ]; }
restarted() { [ "$(systemctl show -P NRestarts "$unit")" -gt 0 ] && active; }

# Our trees have no documentation; the folders belong to many packages.
mkdir -p /usr/share/doc /usr/share/man/man1 /var/cache/man
# What dpkg itself keeps is not the package's.
dpkg --configure -a
everything > /run/before

title installed
dpkg -i "$package" && dpkg -s nephoscope | grep -E '^(Status|Version|Depends):'
title files
dpkg -L nephoscope | xargs stat -c '%A %U:%G %n' | grep -v '^d'
title conffiles
dpkg-query -f '${Conffiles}\n' -W nephoscope | sed 's/ [0-9a-f]*$//'
title user
getent passwd nephoscope
title service
systemctl is-enabled "$unit"
systemctl is-active "$unit"
title verify
systemd-analyze verify "$unit" && echo fine
title check
nephoscope check --config-file /etc/nephoscope/ceilometer.conf > /run/check 2>&1; echo "exit code $?"
grep '^error' /run/check
title program
nephoscope --version

title start
echo "OS_DEFAULT__TRANSPORT_URL=$broker" >> /etc/default/nephoscope
# Any port: both Debians share the loopback of this machine.
echo "OS_NEPHOSCOPE__LISTEN=127.0.0.1:0" >> /etc/default/nephoscope
mkdir -p /etc/systemd/system/nephoscope.service.d
printf '[Service]\nWatchdogSec=3\n' > /etc/systemd/system/nephoscope.service.d/short.conf
systemctl daemon-reload
systemctl enable "$unit" 2> /dev/null
systemctl start "$unit"; echo "exit code $?"
show ActiveState SubState Type Result StatusText User LimitNOFILE
title reload
systemctl reload "$unit"; echo "exit code $?"
until_fine active
show ActiveState NRestarts
title stuck
pid=$(systemctl show -P MainPID "$unit")
kill -STOP "$pid"
until_fine restarted
show ActiveState NRestarts
[ "$(systemctl show -P MainPID "$unit")" != "$pid" ] && echo "another process"
title upgrade
pid=$(systemctl show -P MainPID "$unit")
dpkg -i "$package" > /dev/null 2>&1; echo "exit code $?"
show ActiveState
[ "$(systemctl show -P MainPID "$unit")" != "$pid" ] && echo "another process"
stat -c '%A %U:%G %n' /etc/default/nephoscope
grep -c TRANSPORT_URL /etc/default/nephoscope
title wrong
systemctl stop "$unit"
show Result
echo 'OS_NEPHOSCOPE__PARKED_MESSAGES_MAX=many' >> /etc/default/nephoscope
systemctl start "$unit" 2> /dev/null; echo "exit code $?"
show ActiveState ExecMainStatus NRestarts
sed -i '/PARKED/d' /etc/default/nephoscope
systemctl start "$unit"; echo "exit code $?"
title removed
dpkg -r nephoscope > /dev/null 2>&1; echo "exit code $?"
systemctl is-active "$unit"
ls /etc/nephoscope
title purged
dpkg -P nephoscope > /dev/null 2>&1; echo "exit code $?"
systemctl is-active "$unit"
everything > /run/after
# dpkg's own notes, and the files that useradd keeps before it changes one.
diff /run/before /run/after | grep '^[<>]' | grep -vE ' /(var/lib/dpkg/|var/log/dpkg.log|etc/(passwd|group|shadow|gshadow|subuid|subgid)-$)'
title end
