#!/usr/bin/dash
# The first process of the test machine: mounts, modules, payload, result, power off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/busybox
export HOME=/root TERM=dumb LANG=C.UTF-8

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
# Not mounted, because binaries may have been built below /tmp. The root is in memory anyway.
chmod 1777 /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As systemd does on a node; `ip netns` relies on it.
mount --make-rshared /
mkdir -p /run/netns /run/lock
ip link set lo up

rc=0
while read -r module options; do
    # Unquoted, so that each option is a word.
    if ! insmod "$module" $options; then
        echo "cannot load $module"
        rc=125
    fi
done </etc/vm/modules

if [ $rc = 0 ]; then
    dash /etc/vm/payload </dev/null
    rc=$?
fi
# `quiet` hides kernel warnings.
if [ $(($(cat /proc/sys/kernel/tainted) & 512)) != 0 ]; then
    echo "the kernel warned:"
    dmesg | grep -A 12 'WARNING:' | head -n 40
fi
printf '\nRESULT:%s\n' "$rc"
# Waits until the console is written.
stty -echo </dev/console
poweroff -f
