#!/bin/bash
# Looks into an image without starting it, and fails if anything of the machine that built it is still there.
#
# usage: inspect-image.sh IMAGE.qcow2 [VERSION]     (the root file system is ext4, on the first partition; VERSION is the one
# that it must tell)
set -euo pipefail

WORK=$(mktemp -d)
trap 'rm -rf -- "$WORK"' EXIT
qemu-img convert -O raw "$1" "$WORK/disk.raw"
# The first partition by number; sfdisk lists them by number.
start=$(sfdisk --json "$WORK/disk.raw" | python3 -c 'import json, sys
table = json.load(sys.stdin)["partitiontable"]
print(next(part["start"] for part in table["partitions"] if part["node"].rsplit("raw", 1)[1].lstrip("p") == "1"))')

# in_image COMMAND: of debugfs, which reads the file system without mounting it.
in_image() {
    debugfs -R "$1" "$WORK/disk.raw?offset=$((start * 512))" 2>/dev/null
}

failed=0
fail() {
    echo "inspect-image.sh: $*" >&2
    failed=1
}

[ -n "$(in_image 'ls -p /etc/ssh')" ] || fail "cannot read the root file system"
[ "$(in_image 'stat /etc/machine-id' | sed -n 's/.*Size: \([0-9]*\).*/\1/p' | head -n 1)" = 0 ] || fail "/etc/machine-id is not empty"
! in_image 'ls -p /etc/ssh' | grep -q ssh_host_ || fail "host keys in /etc/ssh"
! in_image 'ls -p /root' | grep -qE '/\.ssh/|/\.bash_history/' || fail "keys or history in /root"
! in_image 'ls -p /etc/netplan' | grep -q cloud-init || fail "the build's network in /etc/netplan"
! in_image 'ls -p /var/lib/cloud' | grep -qE '/(instances?|data|seed)/' || fail "cloud-init's state in /var/lib/cloud"
! in_image 'ls -p /var/cache/apt/archives' | grep -q '\.deb/' || fail "packages in apt's cache"
in_image 'cat /etc/homestak-image' | grep -q '^IMAGE_ID=' || fail "/etc/homestak-image does not tell what image it is"
[ -z "${2-}" ] || in_image 'cat /etc/homestak-image' | grep -qx "IMAGE_VERSION=$2" || fail "/etc/homestak-image does not say $2"
for file in /etc/ssl/private/ssl-cert-snakeoil.key /etc/hostid /etc/nvme/hostnqn; do
    [ -z "$(in_image "stat $file")" ] || fail "$file, which every machine would share"
done
! in_image 'ls -p /var/tmp' | grep -q image-build || fail "the build's scripts in /var/tmp"
for module in cfg80211 floppy joydev psmouse pcspkr; do
    in_image 'cat /etc/modprobe.d/image-blacklist.conf' | grep -qx "blacklist $module" || fail "$module is not blacklisted"
done
[ "$failed" -eq 0 ] && echo "nothing of the build's machine is left in ${1##*/}"
