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

make_root() {
    ROOT=$BATS_TEST_TMPDIR/root
    mkdir -p "$ROOT"/{etc/apt/sources.list.d,etc/apt/mirrors,etc/ssh,etc/netplan,root/.ssh,tmp} \
        "$ROOT"/var/{tmp/image-build,lib/dbus,lib/cloud/data,lib/systemd,log/journal/abc,cache/apt}
}

@test "every template is formatted and valid" {
    need_packer
    unset BASE_IMAGE_URL
    build --validate
    echo "$stderr"
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 3 ]
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
