#!/usr/bin/env bats
# The templates, before the real packer, and the scripts that run in the guest as far as a folder can stand for one.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper

setup() {
    setup_packer
    # The real packer, not the stub.
    PATH=${PATH#"$BATS_TEST_DIRNAME/stub:"}
}

need_packer() {
    command -v packer >/dev/null || skip "packer is not installed"
}

# guest CODE: runs it with guest.sh read, against the folder $ROOT.
guest() {
    IMAGE_ROOT=$ROOT run bash -euo pipefail -c ". '$ENGINE/shared/scripts/guest.sh'; $1"
    [ "$status" -eq 0 ] || { echo "$output" >&2 && return 1; }
}

all_templates() {
    cp -R "$BATS_TEST_DIRNAME/../templates" "$ENGINE/"
}

make_root() {
    ROOT=$BATS_TEST_TMPDIR/root
    mkdir -p "$ROOT"/{etc/apt/sources.list.d,etc/apt/mirrors,etc/ssh,etc/netplan,root/.ssh,tmp} \
        "$ROOT"/var/{tmp/image-build,lib/dbus,lib/cloud/data,lib/systemd,log/journal/abc,cache/apt}
}

@test "every template is formatted and valid" {
    need_packer
    all_templates
    unset BASE_IMAGE_URL
    build --validate
    echo "$stderr"
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq "$(find "$ENGINE"/templates -name template.pkr.hcl | wc -l)" ]
}

@test "--validate names what is not formatted, and what is not valid" {
    need_packer
    printf 'variable "x" {\n type = string\n}\n' >>"$ENGINE/templates/$NAME/template.pkr.hcl"
    build --validate "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"not formatted: templates/$NAME/template.pkr.hcl"* ]]
    sed -i 's/disk_size *= var.disk_size/disk_siez = var.disk_size/' "$ENGINE/shared/packer/qemu.pkr.hcl"
    build --validate debian-13-pve
    [ "$status" -eq 1 ]
    [[ $stderr == *"debian-13-pve: not valid"* ]]
    [[ $output == *disk_siez* ]]
}

@test "every file that a template names is there" {
    all_templates
    local template reference
    for template in "$ENGINE"/templates/*/template.pkr.hcl; do
        while IFS= read -r reference; do
            [ -e "${template%/*}/$reference" ] || { echo "$template: $reference" >&2 && return 1; }
        done < <(grep -o 'path\.root}/[^"]*' "$template" | sed 's#^path.root}/##')
    done
}

@test "the seed that cloud-init reads is filled in" {
    local seed=$BATS_TEST_TMPDIR/seed
    (
        export PACKER_DIR=$ENGINE SSH_PRIVATE_KEY_FILE=''
        # shellcheck source=/dev/null
        . "$ENGINE/lib/common.sh" && . "$ENGINE/lib/packer.sh"
        make_seed "$NAME" "$ENGINE" "$seed"
    )
    [ "$(head -n 1 "$seed/user-data")" = "#cloud-config" ]
    grep -qxF "      - \"$(<"$seed/key.pub")\"" "$seed/user-data"
    grep -qx "local-hostname: \"$NAME\"" "$seed/meta-data"
    run ! grep -r '@[A-Z_]*@' "$seed"
    [ "$(stat -c %a "$seed/key")" = 600 ]
}

@test "guest: a mirror is used during the build, and the sources are restored afterwards" {
    make_root
    echo "deb http://deb.debian.org/debian bookworm main" >"$ROOT/etc/apt/sources.list"
    printf 'URIs: https://deb.debian.org/debian\nURIs: http://deb.debian.org/debian-security/\n' \
        >"$ROOT/etc/apt/sources.list.d/debian.sources"
    echo "https://deb.debian.org/debian-security" >"$ROOT/etc/apt/mirrors/debian-security.list"
    local before
    before=$(cat "$ROOT"/etc/apt/sources.list{,.d/*} "$ROOT"/etc/apt/mirrors/*)
    guest 'use_mirrors http://mirror.example/debian/ http://mirror.example/security'
    [ "$(<"$ROOT/etc/apt/sources.list")" = "deb http://mirror.example/debian bookworm main" ]
    [ "$(<"$ROOT/etc/apt/sources.list.d/debian.sources")" = \
        $'URIs: http://mirror.example/debian\nURIs: http://mirror.example/security/' ]
    [ "$(<"$ROOT/etc/apt/mirrors/debian-security.list")" = "http://mirror.example/security/" ]
    echo kept >"$ROOT/etc/apt/sources.list.d/proxmox.sources"
    guest restore_sources
    [ "$(cat "$ROOT"/etc/apt/sources.list "$ROOT"/etc/apt/sources.list.d/debian.sources "$ROOT"/etc/apt/mirrors/*)" = "$before" ]
    [ "$(<"$ROOT/etc/apt/sources.list.d/proxmox.sources")" = kept ]
}

@test "guest: without a mirror the sources stay as they are" {
    make_root
    echo "deb http://deb.debian.org/debian bookworm main" >"$ROOT/etc/apt/sources.list"
    guest 'use_mirrors "" "" && restore_sources'
    [ "$(<"$ROOT/etc/apt/sources.list")" = "deb http://deb.debian.org/debian bookworm main" ]
}

@test "guest: nothing of this machine stays for the next" {
    make_root
    echo 0123456789abcdef0123456789abcdef >"$ROOT/etc/machine-id"
    cp "$ROOT/etc/machine-id" "$ROOT/var/lib/dbus/machine-id"
    touch "$ROOT"/etc/ssh/ssh_host_{rsa,ed25519}_key{,.pub} "$ROOT/etc/ssh/sshd_config" "$ROOT/root/.ssh/authorized_keys" \
        "$ROOT/etc/netplan/50-cloud-init.yaml" "$ROOT/etc/netplan/90-default.yaml" "$ROOT/var/log/syslog.1" \
        "$ROOT/var/lib/cloud/data/instance-id" "$ROOT/var/log/journal/abc/system.journal" "$ROOT/var/lib/systemd/random-seed"
    echo line >"$ROOT/var/log/dpkg.log"
    guest 'forget_cloud_init; forget_this_machine; remove_apt_cache; remove_logs; remove_build_files'
    [ -f "$ROOT/etc/machine-id" ]
    [ "$(cd "$ROOT" && find . -type f | LC_ALL=C sort | paste -sd ' ')" = \
        "./etc/hostname ./etc/machine-id ./etc/netplan/90-default.yaml ./etc/ssh/sshd_config ./var/log/dpkg.log" ]
    [ ! -s "$ROOT/etc/machine-id" ]
    [ ! -s "$ROOT/var/log/dpkg.log" ]
    [ "$(readlink "$ROOT/var/lib/dbus/machine-id")" = /etc/machine-id ]
}

@test "guest: the blacklist names each module" {
    make_root
    guest blacklist_modules
    [ "$(cat "$ROOT"/etc/modprobe.d/*)" = "$(printf 'blacklist %s\n' cfg80211 floppy joydev psmouse pcspkr)" ]
}

@test "guest: keys and names that packages made are gone, and the first boot is to make new ones" {
    make_root
    mkdir -p "$ROOT"/etc/{ssl/private,ssl/certs,postfix,nvme,iscsi,systemd/system}
    cp "$ENGINE"/shared/scripts/* "$ROOT/var/tmp/image-build/"
    echo "$NAME" >"$ROOT/etc/hostname"
    printf '127.0.0.1 localhost\n10.0.2.15 %s.localdomain %s\n127.0.1.1 %s %s\n10.1.1.1 other-%s\n' \
        "$NAME" "$NAME" "$NAME" "$NAME" "$NAME-x" >"$ROOT/etc/hosts"
    openssl genpkey -algorithm ed25519 >"$ROOT/etc/ssl/private/ssl-cert-snakeoil.key"
    touch "$ROOT/etc/ssl/certs/ssl-cert-snakeoil.pem" "$ROOT/etc/nvme/hostid"
    echo 1234 >"$ROOT/etc/hostid"
    echo nqn.2014 >"$ROOT/etc/nvme/hostnqn"
    echo InitiatorName=iqn.1993-08.org.debian:01:abc >"$ROOT/etc/iscsi/initiatorname.iscsi"
    echo "$NAME" >"$ROOT/etc/mailname"
    # shellcheck disable=SC2016 # postfix's words
    printf 'myhostname = %s.localdomain\nmydestination = $myhostname, %s, localhost\nmyorigin = /etc/mailname\n' "$NAME" "$NAME" \
        >"$ROOT/etc/postfix/main.cf"
    # shellcheck disable=SC2016 # for the shell that is started
    guest 'name=$(build_name); forget_this_machine; install_first_boot; refuse_leftovers "$name"'
    [ "$(grep -rlE 'PRIVATE KEY' "$ROOT/etc" | wc -l)" -eq 0 ]
    [ ! -e "$ROOT/etc/hostid" ]
    [ ! -e "$ROOT/etc/nvme/hostnqn" ]
    [ "$(<"$ROOT/etc/iscsi/initiatorname.iscsi")" = GenerateName=yes ]
    [ "$(<"$ROOT/etc/hosts")" = $'127.0.0.1 localhost\n10.1.1.1 other-'"$NAME-x" ]
    # shellcheck disable=SC2016 # postfix's words
    [ "$(<"$ROOT/etc/postfix/main.cf")" = $'mydestination = $myhostname, localhost\nmyorigin = /etc/mailname' ]
    [ -e "$ROOT/var/lib/image-first-boot/wanted" ]
    [ "$(readlink "$ROOT/etc/systemd/system/multi-user.target.wants/image-first-boot.service")" = ../image-first-boot.service ]
}

@test "guest: a key or the build's name in a file that nobody knows of fails the clean-up" {
    make_root
    local file
    for file in etc/app/tls.pem etc/app/server.conf; do
        mkdir -p "$ROOT/etc/app"
        case $file in
        *.pem) openssl genpkey -algorithm ed25519 >"$ROOT/$file" ;;
        *) echo "server = $NAME:25" >"$ROOT/$file" ;;
        esac
        IMAGE_ROOT=$ROOT run bash -euo pipefail -c ". '$ENGINE/shared/scripts/guest.sh'; refuse_leftovers '$NAME'"
        [ "$status" -eq 1 ]
        [[ $output == *"the same on every machine"*"$file"* ]]
        rm -r "$ROOT/etc/app"
    done
    echo "IMAGE_ID=$NAME" >"$ROOT/etc/homestak-image"
    echo "server = not-$NAME-but-longer.$NAME.example" >"$ROOT/etc/longer"
    guest "refuse_leftovers ''"
}

@test "guest: the first boot makes what the clean-up took, once, and tries again where that failed" {
    ROOT=$BATS_TEST_TMPDIR/root
    local bin=$BATS_TEST_TMPDIR/bin
    mkdir -p "$ROOT"/etc/{ssl/private,nvme,iscsi} "$ROOT/var/lib/image-first-boot" "$bin"
    : >"$ROOT/var/lib/image-first-boot/wanted"
    echo GenerateName=yes >"$ROOT/etc/iscsi/initiatorname.iscsi"
    printf '#!/bin/sh\n[ ! -e "%s/broken" ] && echo key >"%s/etc/ssl/private/ssl-cert-snakeoil.key"\n' "$bin" "$ROOT" >"$bin/make-ssl-cert"
    printf '#!/bin/sh\necho id >"%s/etc/hostid"\n' "$ROOT" >"$bin/zgenhostid"
    printf '#!/bin/sh\necho iqn.1993-08.org.debian:01:$$\n' >"$bin/iscsi-iname"
    printf '#!/bin/sh\n' >"$bin/nvme"
    chmod +x "$bin"/*
    touch "$bin/broken"
    IMAGE_ROOT=$ROOT PATH=$bin:$PATH run "$ENGINE/shared/scripts/image-first-boot.sh"
    [ "$status" -eq 1 ]
    [ -e "$ROOT/var/lib/image-first-boot/wanted" ]
    rm "$bin/broken"
    IMAGE_ROOT=$ROOT PATH=$bin:$PATH run "$ENGINE/shared/scripts/image-first-boot.sh"
    [ "$status" -eq 0 ]
    [ ! -e "$ROOT/var/lib/image-first-boot/wanted" ]
    [ -s "$ROOT/etc/ssl/private/ssl-cert-snakeoil.key" ]
    [ -s "$ROOT/etc/hostid" ]
    [[ $(<"$ROOT/etc/nvme/hostnqn") == "nqn.2014-08.org.nvmexpress:uuid:$(<"$ROOT/etc/nvme/hostid")" ]]
    [[ $(<"$ROOT/etc/iscsi/initiatorname.iscsi") =~ ^InitiatorName=iqn\.1993-08\.org\.debian:01:[0-9]+$ ]]
}

@test "guest: the image's identity is there for cat and at each login" {
    make_root
    printf 'IMAGE_ID=%s\nIMAGE_BUILD_DATE=2026-11-30\n' "$NAME" >"$ROOT/var/tmp/image-build/homestak-image"
    guest write_identity
    cmp "$ROOT/etc/homestak-image" "$ROOT/var/tmp/image-build/homestak-image"
    [ -x "$ROOT/etc/update-motd.d/20-homestak-image" ]
    grep -q 'cat /etc/homestak-image' "$ROOT/etc/update-motd.d/20-homestak-image"
}

# image_network ADDRESS…: the script of debian-13-pve on a machine called booted, which has these addresses.
image_network() {
    local bin=$BATS_TEST_TMPDIR/bin
    mkdir -p "$bin"
    printf '#!/bin/sh\necho booted\n' >"$bin/hostname"
    {
        printf '#!/bin/sh\n'
        printf 'echo "2: eth0    inet6 fd00::7/64 scope global"\n'
        [ -z "${1-}" ] || printf 'echo "2: eth0    inet %s/24 brd 10.9.0.255 scope global eth0"\n' "$@"
    } >"$bin/ip"
    chmod +x "$bin"/*
    IMAGE_ROOT=$ROOT PATH=$bin:$PATH run bash "$ENGINE/templates/debian-13-pve/image-network.sh"
    [ "$status" -eq 0 ] || { echo "$output" >&2 && return 1; }
}

@test "pve: the machine's name stands for an address of its own, whatever cloud-init wrote" {
    make_root
    local hosts=$ROOT/etc/hosts before
    # From the template without 127.0.1.1, from Debian's own, and from `manage_etc_hosts: localhost`.
    for before in '# this machine: booted.example.org booted' '127.0.1.1 booted.example.org booted' \
        '127.0.1.1	booted.example.org	booted' '127.0.1.1 booted.example.org booted alias'; do
        printf '127.0.0.1 localhost\n%s\n::1 localhost ip6-localhost\n' "$before" >"$hosts"
        image_network 10.9.0.7
        grep -qx '10.9.0.7 booted.example.org booted # written at boot' "$hosts"
        [ "$(sed 's/#.*//' "$hosts" | grep -c booted)" -eq 1 ]
        grep -qx '127.0.0.1 localhost' "$hosts"
        grep -qx '::1 localhost ip6-localhost' "$hosts"
    done
    grep -qx '127.0.1.1 alias' "$hosts"
    # Another address at the next boot; once.
    image_network 10.9.0.8
    image_network 10.9.0.8
    [ "$(grep -c booted "$hosts")" -eq 1 ]
    grep -q '^10.9.0.8 ' "$hosts"
    # No name at all, and a machine with IPv6 alone.
    echo '127.0.0.1 localhost' >"$hosts"
    image_network ''
    grep -qx 'fd00::7 booted.localdomain booted # written at boot' "$hosts"
    # What a person wrote stays.
    printf '127.0.0.1 localhost\n192.0.2.1 booted\n' >"$hosts"
    before=$(<"$hosts")
    image_network 10.9.0.7
    [ "$(<"$hosts")" = "$before" ]
}

@test "pve: the seed's name servers are used, once for each instance" {
    make_root
    mkdir -p "$ROOT/etc/network/interfaces.d" "$ROOT/var/lib/cloud/instance"
    # As cloud-init writes them: below lo.
    printf 'auto lo\niface lo inet loopback\n    dns-nameservers 10.0.2.3 2001:db8::53\n    dns-search example.org lan\n\nauto eth0\niface eth0 inet static\n    address 10.9.0.7/24\n    dns-nameservers 10.0.2.3\n' \
        >"$ROOT/etc/network/interfaces.d/50-cloud-init"
    ln -s ../run/systemd/resolve/stub-resolv.conf "$ROOT/etc/resolv.conf"
    image_network 10.9.0.7
    [ ! -L "$ROOT/etc/resolv.conf" ]
    [ "$(<"$ROOT/etc/resolv.conf")" = $'search example.org lan\nnameserver 10.0.2.3\nnameserver 2001:db8::53' ]
    # Proxmox VE's own change of it stays over a boot.
    echo 'nameserver 192.0.2.53' >"$ROOT/etc/resolv.conf"
    image_network 10.9.0.7
    [ "$(<"$ROOT/etc/resolv.conf")" = 'nameserver 192.0.2.53' ]
    # Another instance; and a seed without name servers leaves what DHCP wrote.
    rm "$ROOT/var/lib/cloud/instance/image-network"
    sed -i '/dns-/d' "$ROOT/etc/network/interfaces.d/50-cloud-init"
    image_network 10.9.0.7
    [ "$(<"$ROOT/etc/resolv.conf")" = 'nameserver 192.0.2.53' ]
}

@test "pve: cloud-init's template gives the name no loopback address, and the units stand in the right order" {
    ROOT=$BATS_TEST_TMPDIR/root
    mkdir -p "$ROOT/etc/cloud/templates"
    printf '## template:jinja\n127.0.1.1 {{fqdn}} {{hostname}}\n127.0.0.1 localhost\n' >"$ROOT/etc/cloud/templates/hosts.debian.tmpl"
    IMAGE_ROOT=$ROOT bash -euo pipefail -c ". '$ENGINE/templates/debian-13-pve/network.sh'; prepare_network; prepare_network"
    [ "$(<"$ROOT/etc/cloud/templates/hosts.debian.tmpl")" = \
        $'## template:jinja\n# this machine: {{fqdn}} {{hostname}}\n127.0.0.1 localhost' ]
    grep -q '^Before=.*pve-cluster.service' "$ROOT/etc/systemd/system/image-network.service"
    grep -q '^After=.*networking.service.*cloud-init.service' "$ROOT/etc/systemd/system/image-network.service"
    [ -L "$ROOT/etc/systemd/system/multi-user.target.wants/image-network.service" ]
    [ -x "$ROOT/usr/local/sbin/image-network" ]
}

@test "what the build tells cloud-init has no key that it does not know" {
    run ! grep -r apt_preserve_sources_list "$ENGINE"
    grep -q 'manage_etc_hosts: true' "$ENGINE/lib/boot.sh"
}
