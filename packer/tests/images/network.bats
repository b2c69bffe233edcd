#!/usr/bin/env bats
# Whether a machine made from debian-13-pve gets its address: cloud-init and ifupdown2 of the real Debian 13, in a network of
# their own, with the template's own network files and what Proxmox VE's packages make of them.
#
# Needs root and, for the first run, a Debian mirror. Started by scripts/test-images.

# shellcheck disable=SC2030,SC2031,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0

setup_file() {
    local tool
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    for tool in mmdebstrap ip nsenter unshare; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
    unshare --net true 2>/dev/null || skip "a network of its own is not allowed here"
    export CACHE=${IMAGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/homestak-packer}
    export TEMPLATE=$BATS_TEST_DIRNAME/../../templates/debian-13-pve
    export SYSTEM=$CACHE/trixie-network.tar
    mkdir -p "$CACHE"
    find "$SYSTEM" -mtime +7 -delete 2>/dev/null || true
    if [ ! -f "$SYSTEM" ]; then
        mmdebstrap --quiet --mode=root --variant=minbase --include="cloud-init,iproute2,dnsmasq-base,$(packages)" \
            trixie "$CACHE/trixie-network.new.tar" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
        mv "$CACHE/trixie-network.new.tar" "$SYSTEM"
    fi
    mkdir "$BATS_FILE_TMPDIR/root"
    tar -C "$BATS_FILE_TMPDIR/root" -xf "$SYSTEM"
    cp -a "$BATS_FILE_TMPDIR/root/etc" "$BATS_FILE_TMPDIR/etc"
}

# What the template installs for the network; ifupdown2 comes with Proxmox VE.
packages() {
    echo "ifupdown2,$(sed -n 's/^apt_get install \(isc-dhcp-client\)$/\1/p' "$TEMPLATE/install-pve.sh")"
}

setup() {
    ROOT=$BATS_FILE_TMPDIR/root
    rm -rf -- "${ROOT:?}/etc" "$ROOT/var/lib/cloud"
    cp -a "$BATS_FILE_TMPDIR/etc" "$ROOT/etc"
}

# as_the_template: what its scripts leave in the folder, before and after the packages.
as_the_template() {
    IMAGE_ROOT=$ROOT bash -euo pipefail -c ". '$TEMPLATE/network.sh'; $1"
}

# proxmox_writes FILE: what Proxmox VE's code makes of /etc/network/interfaces: `source` lines stay first where they are
# first, and each card that it sees is `manual`.
proxmox_writes() {
    awk '
        !rest && /^source / { print; next }
        { rest = 1 }
        /^source/ { sources = sources $0 "\n" }
        END { printf "\nauto lo\niface lo inet loopback\n\niface eth0 inet manual\n\n%s", sources }
    ' "$ROOT/etc/network/interfaces" >"$ROOT/etc/network/new"
    mv "$ROOT/etc/network/new" "$ROOT/etc/network/$1"
}

# boots dhcp|static [NAME-SERVER]: sets output to the addresses, the name's address and the name servers.
boots() {
    run --separate-stderr unshare --net --uts --mount --mount-proc --pid --fork "$BATS_TEST_DIRNAME/network-case.sh" "$ROOT" "$@"
    [ "$status" -eq 0 ] || { echo "$stderr" >&2 && return 1; }
    case $1 in
    dhcp) [[ ${lines[0]} =~ ^10\.9\.0\.(5[0-9]|60)/24$ ]] ;;
    static) [ "${lines[0]}" = 10.9.0.7/24 ] ;;
    esac || {
        [[ ${lines[0]} == name* ]] && lines[0]=none
        echo "addresses: ${lines[0]:-none}; $stderr" >&2
        cat "$ROOT/etc/network/interfaces" >&2
        return 1
    }
}

for_each_kind() {
    local kind
    for kind in dhcp static; do
        setup
        as_the_template prepare_network
        "$@"
        as_the_template finish_network
        boots "$kind"
    done
}

@test "the address that is asked for comes, by DHCP and static" {
    for_each_kind true
}

@test "the name stands for that address, and the seed's name server is used, whatever DHCP says" {
    name_and_dns() {
        [ "${lines[1]}" = "name ${lines[0]%/24}" ] && [ "${lines[2]}" = "dns $1" ] || { printf '%s\n' "${lines[@]}" >&2 && return 1; }
    }
    local kind
    for kind in dhcp static; do
        setup
        as_the_template 'prepare_network; finish_network'
        boots "$kind" 10.9.0.99
        name_and_dns 10.9.0.99
        grep -qx 'search example.org' "$ROOT/etc/resolv.conf"
    done
    setup
    as_the_template 'prepare_network; finish_network'
    boots dhcp
    name_and_dns 10.9.0.53
    # As it was before: the name stands for 127.0.1.1, and there is no name server.
    setup
    as_the_template 'prepare_network; finish_network'
    rm "$ROOT/etc/systemd/system/image-network.service"
    cp "$BATS_FILE_TMPDIR/etc/cloud/templates/hosts.debian.tmpl" "$ROOT/etc/cloud/templates/"
    boots static 10.9.0.99
    [ "${lines[1]} ${lines[2]}" = "name 127.0.1.1 dns " ]
}

@test "it comes where Proxmox VE's packages made the card manual" {
    for_each_kind proxmox_writes interfaces
}

@test "it comes where they left a file for the next boot, and where they make one after it" {
    for_each_kind proxmox_writes interfaces.new
    setup
    as_the_template 'prepare_network; finish_network'
    proxmox_writes interfaces.new
    boots dhcp
}

@test "without the template's steps no address comes" {
    # Debian's own line, which ifupdown2 ignores.
    setup
    printf 'source-directory /etc/network/interfaces.d\n\nauto lo\niface lo inet loopback\n' >"$ROOT/etc/network/interfaces"
    proxmox_writes interfaces
    run ! boots static
    [[ $output == *"addresses: none"* ]]
    # Debian's generic image has no such file: cloud-init then writes for netplan alone.
    setup
    : >"$ROOT/etc/network/interfaces"
    proxmox_writes interfaces.new
    rm -f "$ROOT/etc/network/interfaces"
    run ! boots static
    [[ $output == *"addresses: none"* ]]
}

@test "a source line that is not first is seen by the clean-up, and would start no DHCP" {
    as_the_template prepare_network
    printf 'iface eth0 inet manual\nsource /etc/network/interfaces.d/*\n' >"$ROOT/etc/network/interfaces"
    run as_the_template finish_network
    [ "$status" -ne 0 ]
    [[ $output == *"is not the one that sources interfaces.d"* ]]
    run ! boots dhcp
}

@test "networking.service waits for cloud-init" {
    as_the_template prepare_network
    grep -qx 'After=network-pre.target' "$ROOT/etc/systemd/system/networking.service.d/after-cloud-init.conf"
    grep -qx 'Wants=network-pre.target' "$ROOT/etc/systemd/system/networking.service.d/after-cloud-init.conf"
    grep -qE '^Before=.*network-pre\.target' "$ROOT/usr/lib/systemd/system/cloud-init-local.service"
}
