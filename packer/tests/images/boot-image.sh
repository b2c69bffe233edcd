#!/bin/bash
# Boots an image once under TCG, as somebody would who downloaded it, and prints what the guest says about itself:
# lines of NAME=value. The image is not changed.
#
# usage: boot-image.sh IMAGE.qcow2
set -euo pipefail

IMAGE=$(realpath -- "$1")
SECONDS_TO_LOGIN=${BOOT_TIMEOUT:-900}
WORK=$(mktemp -d)
QEMU=
stop() {
    if [ -n "$QEMU" ]; then
        kill "$QEMU" 2>/dev/null || true
        wait "$QEMU" 2>/dev/null || true
    fi
    rm -rf -- "$WORK"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ssh-keygen -q -t ed25519 -N '' -C boot -f "$WORK/key"
cat >"$WORK/user-data" <<EOF
#cloud-config
disable_root: false
users:
  - name: root
    ssh_authorized_keys: ["$(<"$WORK/key.pub")"]
ssh_genkeytypes: [ed25519]
locale: false
EOF
printf 'instance-id: boot-%s\nlocal-hostname: booted\n' "$$" >"$WORK/meta-data"
xorriso -as mkisofs -quiet -V cidata -J -r -o "$WORK/seed.iso" "$WORK/user-data" "$WORK/meta-data" 2>/dev/null
qemu-img create -q -f qcow2 -F qcow2 -b "$IMAGE" "$WORK/disk.qcow2"

# Somebody else may take the port between the look and the start: then another is tried.
for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && continue
    qemu-system-x86_64 -machine pc,accel=tcg -cpu max -smp 2 -m 1024 -display none -serial "file:$WORK/serial.log" \
        -drive "file=$WORK/disk.qcow2,if=virtio,cache=unsafe" -drive "file=$WORK/seed.iso,media=cdrom" \
        -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net,netdev=net &
    QEMU=$!
    sleep 1
    kill -0 "$QEMU" 2>/dev/null && break
    QEMU=
done
[ -n "$QEMU" ] || { echo "boot-image.sh: qemu does not start" >&2 && exit 1; }

guest() {
    ssh -F none -i "$WORK/key" -p "$port" -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@127.0.0.1 "$@"
}

started=$SECONDS
until guest true 2>/dev/null; do
    if ! kill -0 "$QEMU" 2>/dev/null || [ $((SECONDS - started)) -gt "$SECONDS_TO_LOGIN" ]; then
        echo "boot-image.sh: no login within $SECONDS_TO_LOGIN s; the console's last lines:" >&2
        tail -n 30 "$WORK/serial.log" >&2 || true
        exit 1
    fi
    sleep 2
done
echo "SECONDS_TO_LOGIN=$((SECONDS - started))"

guest bash -s <<'EOF'
cloud-init status --wait >/dev/null
echo "MACHINE_ID=$(cat /etc/machine-id)"
echo "HOST_KEY=$(awk '{ print $2 }' /etc/ssh/ssh_host_ed25519_key.pub)"
echo "HOST_NAME=$(hostname)"
echo "DEBIAN_VERSION=$(cat /etc/debian_version)"
echo "KERNELS=$(ls /boot/vmlinuz-* | wc -l)"
echo "RUNNING_KERNEL=$(uname -r)"
echo "GUEST_AGENT=$(dpkg-query -W -f '${db:Status-Abbrev}' qemu-guest-agent)"
echo "UPGRADABLE=$(apt-get -q update >/dev/null 2>&1; apt-get -s dist-upgrade | grep -c ^Inst)"
echo "BLACKLISTED_LOADED=$(lsmod | grep -cE '^(cfg80211|floppy|joydev|psmouse|pcspkr) ')"
echo "AUTHORIZED_KEYS=$(wc -l </root/.ssh/authorized_keys)"
echo "FAILED_UNITS=$(systemctl --failed --plain --no-legend | awk '{ printf "%s%s", sep, $1; sep = "," }')"
echo "ROOT_GIB=$(df --output=size -BG / | tail -n 1 | tr -dc 0-9)"
EOF
guest poweroff 2>/dev/null || true
for _ in {1..120}; do
    kill -0 "$QEMU" 2>/dev/null || break
    sleep 1
done
