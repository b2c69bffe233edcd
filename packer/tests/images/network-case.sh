#!/bin/bash
# The first boot of a machine, as far as its network: cloud-init, then ifupdown2, both real, in a Debian that is a folder.
# Prints the addresses that eth0 gets, then what its name stands for and its name servers, a line each. The other end of the
# cable is a DHCP server, which names a server of its own.
#
# usage: unshare --net --uts --mount --mount-proc --pid --fork network-case.sh ROOT dhcp|static [NAME-SERVER]
#
# ROOT has cloud-init, ifupdown2, iproute2 and dnsmasq, and the template's network files.
set -euo pipefail

ROOT=$1 KIND=$2 DNS=${3-}
MAC=52:54:00:15:00:01

ip link set lo up
ip link add eth0 address "$MAC" type veth peer name server
unshare --net sleep 600 &
SERVER=$!
until ip link set server netns "$SERVER" 2>/dev/null && ! ip link show server >/dev/null 2>&1; do sleep 0.1; done
on_server() {
    nsenter --net --target "$SERVER" "$@"
}
on_server ip addr add 10.9.0.1/24 dev server
on_server ip link set server up

mount -t proc proc "$ROOT/proc"
mount -t sysfs sysfs "$ROOT/sys"
mount -t tmpfs tmpfs "$ROOT/run"
mkdir -p "$ROOT/run/network"
in_root() {
    chroot "$ROOT" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
on_server chroot "$ROOT" dnsmasq --no-daemon --port=0 --interface=server --leasefile-ro \
    --dhcp-range=10.9.0.50,10.9.0.60,1h --dhcp-option=option:dns-server,10.9.0.53 >"$ROOT/tmp/dnsmasq.log" 2>&1 &
DHCP=$!

seed=$ROOT/var/lib/cloud/seed/nocloud
mkdir -p "$seed"
# As Debian's cloud image and Proxmox VE's own seeds say the second.
printf 'datasource_list: [NoCloud, None]\nmanage_etc_hosts: true\n' >"$ROOT/etc/cloud/cloud.cfg.d/90-datasource.cfg"
printf '#cloud-config\nhostname: booted\n' >"$seed/user-data"
echo "instance-id: first" >"$seed/meta-data"
{
    # As Proxmox VE writes it.
    printf 'version: 1\nconfig:\n  - type: physical\n    name: eth0\n    mac_address: %s\n    subnets:\n' "'$MAC'"
    if [ "$KIND" = dhcp ]; then
        printf '      - type: dhcp4\n'
    else
        printf '      - type: static\n        address: 10.9.0.7\n        netmask: 255.255.255.0\n        gateway: 10.9.0.1\n'
    fi
    [ -z "$DNS" ] || printf '  - type: nameserver\n    address: [%s]\n    search: [example.org]\n' "$DNS"
} >"$seed/network-config"

# cloud-init-local.service, then pvenetcommit.service, then networking.service, cloud-init.service and image-network.service.
in_root cloud-init init --local >"$ROOT/tmp/cloud-init.log" 2>&1
if [ -f "$ROOT/etc/network/interfaces.new" ]; then
    mv "$ROOT/etc/network/interfaces.new" "$ROOT/etc/network/interfaces"
fi
in_root timeout 90 ifup -a >"$ROOT/tmp/ifup.log" 2>&1 || echo "ifup fails: $(tail -n 1 "$ROOT/tmp/ifup.log")" >&2
hostname booted
in_root cloud-init single --name update_etc_hosts --frequency always >>"$ROOT/tmp/cloud-init.log" 2>&1
if [ -e "$ROOT/etc/systemd/system/image-network.service" ]; then
    in_root /usr/local/sbin/image-network >&2
fi
ip -4 -o addr show dev eth0 | awk '{ print $4 }'
echo "name $(in_root getent ahostsv4 booted | awk '{ print $1; exit }')"
echo "dns $(sed -n 's/^nameserver //p' "$ROOT/etc/resolv.conf" | paste -sd ' ')"
kill "$DHCP" "$SERVER" 2>/dev/null || true
