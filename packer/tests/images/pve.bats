#!/usr/bin/env bats
# The scripts of the template debian-13-pve, in a real Debian 13 with the real apt and dpkg, against a repository of empty
# packages that have the names of the real ones. docs/internals/untested.md says what that leaves out.
#
# Needs root and, for the first run, a Debian mirror. Started by scripts/test-images.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0

setup_file() {
    local tool
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    for tool in mmdebstrap gpg apt-ftparchive dpkg-deb unshare; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
    export CACHE=${IMAGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/homestak-packer}
    export PACKER_DIR=$BATS_TEST_DIRNAME/../..
    export ROOT=$BATS_FILE_TMPDIR/root
    export DEBIAN=$ROOT/srv/debian PROXMOX=$ROOT/srv/proxmox
    mkdir -p "$CACHE"
    if [ ! -f "$CACHE/trixie-root.tar" ]; then
        mmdebstrap --mode=root --variant=minbase --include=ca-certificates,curl trixie "$CACHE/trixie-root.new.tar" \
            "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
        mv "$CACHE/trixie-root.new.tar" "$CACHE/trixie-root.tar"
    fi
    mkdir "$ROOT"
    tar -C "$ROOT" -xf "$CACHE/trixie-root.tar"
    ln -sfn /proc/self/fd "$ROOT/dev/fd"
    # Everything that is not there yet comes from the stand-in.
    rm -rf "$ROOT"/etc/apt/sources.list "$ROOT"/etc/apt/sources.list.d/*
    make_repositories
    make_cloud_image
    run_template
}

teardown_file() {
    rm -rf -- "${ROOT:?}" 2>/dev/null || true
}

# package REPOSITORY NAME VERSION DEPENDS [PATH=CONTENT…]: an empty package, or one with small files.
package() {
    local repository=$1 name=$2 version=$3 depends=$4 folder=$BATS_FILE_TMPDIR/packages/$2 file
    shift 4
    mkdir -p "$folder/DEBIAN"
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: amd64\n' "$name" "$version"
        [ -z "$depends" ] || echo "Depends: $depends"
        printf 'Maintainer: test <test@example.org>\nDescription: stand-in\n'
    } >"$folder/DEBIAN/control"
    for file in "$@"; do
        mkdir -p "$folder/$(dirname "${file%%=*}")"
        printf '%s\n' "${file#*=}" >"$folder/${file%%=*}"
        case ${file%%=*} in
        */bin/* | */sbin/*) chmod +x "$folder/${file%%=*}" ;;
        esac
    done
    dpkg-deb --build --root-owner-group "$folder" "$repository/pool/" >/dev/null
}

make_repositories() {
    local script=$'#!/bin/sh\necho "$0 $*" >>/srv/called'
    mkdir -p "$DEBIAN/pool" "$PROXMOX/pool"
    package "$DEBIAN" cloud-init 25.1 '' "usr/bin/cloud-init=$script"
    package "$DEBIAN" initramfs-tools 0.148 '' "usr/sbin/update-initramfs=$script"
    package "$DEBIAN" grub2-common 2.12 '' "usr/sbin/update-grub=$script"
    package "$DEBIAN" systemd-tools 257 '' "usr/bin/systemctl=$script"
    package "$DEBIAN" linux-image-6.12.94+deb13-cloud-amd64 6.12.94 '' boot/vmlinuz-6.12.94+deb13-cloud-amd64=debian
    package "$DEBIAN" linux-image-cloud-amd64 6.12.94 linux-image-6.12.94+deb13-cloud-amd64
    package "$DEBIAN" qemu-guest-agent 10.0 ''
    # As the real one leaves it, once it is configured under the build's name.
    # shellcheck disable=SC2016 # postfix's words
    package "$DEBIAN" postfix 3.10 ssl-cert 'etc/postfix/main.cf=myhostname = debian-13-pve.localdomain
mydestination = $myhostname, debian-13-pve, localhost' etc/mailname=debian-13-pve
    package "$DEBIAN" ssl-cert 1.1.3 '' "usr/sbin/make-ssl-cert=$script" \
        'etc/ssl/private/ssl-cert-snakeoil.key=-----BEGIN PRIVATE KEY-----'
    package "$DEBIAN" open-iscsi 2.1.11 '' etc/iscsi/initiatorname.iscsi=InitiatorName=iqn.1993-08.org.debian:01:abcdef
    package "$DEBIAN" chrony 4.6 ''
    package "$DEBIAN" isc-dhcp-client 4.4.3 ''

    package "$PROXMOX" proxmox-ve 9.0.0 'pve-manager, proxmox-default-kernel'
    package "$PROXMOX" pve-manager 9.0.11 pve-cluster \
        etc/network/interfaces.new=manual \
        "etc/apt/sources.list.d/pve-enterprise.sources=Types: deb
URIs: https://enterprise.proxmox.com/debian/pve
Suites: trixie
Components: pve-enterprise"
    package "$PROXMOX" pve-cluster 9.0.6 '' var/lib/pve-cluster/config.db=certificates
    package "$PROXMOX" proxmox-default-kernel 2.0.0 proxmox-kernel-6.14
    package "$PROXMOX" proxmox-kernel-6.14 6.14.8 proxmox-kernel-6.14.8-2-pve-signed
    package "$PROXMOX" proxmox-kernel-6.14.8-2-pve-signed 6.14.8-2 '' boot/vmlinuz-6.14.8-2-pve=proxmox

    export GNUPGHOME=$BATS_FILE_TMPDIR/gnupg
    mkdir -m 700 "$GNUPGHOME"
    gpg --batch --quiet --passphrase '' --quick-generate-key 'stand-in <test@example.org>' rsa3072 sign never 2>/dev/null
    make_index "$DEBIAN" main
    make_index "$PROXMOX" pve-no-subscription
    gpg --export >"$PROXMOX/keyring.gpg"
    gpgconf --kill all || true
}

# make_index REPOSITORY COMPONENT
make_index() {
    cd "$1" || return
    mkdir -p "dists/trixie/$2/binary-amd64"
    apt-ftparchive packages pool >"dists/trixie/$2/binary-amd64/Packages"
    apt-ftparchive -o APT::FTPArchive::Release::Suite=trixie -o APT::FTPArchive::Release::Codename=trixie \
        -o "APT::FTPArchive::Release::Components=$2" -o APT::FTPArchive::Release::Architectures=amd64 \
        release dists/trixie >"$BATS_FILE_TMPDIR/Release"
    mv "$BATS_FILE_TMPDIR/Release" dists/trixie/Release
    gpg --batch --quiet --clearsign -o dists/trixie/InRelease dists/trixie/Release
    cd - >/dev/null || return
}

# What Debian's cloud image has before the template begins.
make_cloud_image() {
    cp "$PROXMOX/keyring.gpg" "$ROOT/usr/share/keyrings/stand-in.gpg"
    echo "deb [signed-by=/usr/share/keyrings/stand-in.gpg] file:/srv/debian trixie main" \
        >"$ROOT/etc/apt/sources.list.d/debian.list"
    in_root "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends install \
        cloud-init initramfs-tools grub2-common systemd-tools linux-image-cloud-amd64"
    echo debian-13-pve >"$ROOT/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 debian-13-pve.localdomain debian-13-pve\n' >"$ROOT/etc/hosts"
    echo 0123456789abcdef0123456789abcdef >"$ROOT/etc/machine-id"
    mkdir -p "$ROOT/root/.ssh" "$ROOT/etc/ssh"
    touch "$ROOT/root/.ssh/authorized_keys" "$ROOT/etc/ssh/ssh_host_ed25519_key"
}

# in_root COMMAND: as root in the Debian 13, with its own mounts and processes.
in_root() {
    unshare --mount --pid --fork --mount-proc="$ROOT/proc" chroot "$ROOT" /usr/bin/env -i \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
        PVE_REPOSITORY_URL=file:/srv/proxmox PVE_KEYRING_URL="${KEYRING_URL:-file:///srv/proxmox/keyring.gpg}" \
        PVE_KEYRING_SHA256="$(sha256sum <"$PROXMOX/keyring.gpg" | cut -c-64)" /bin/bash -c "$1"
}

# run_in_root SCRIPT: a script of ours, where packer would put it.
run_in_root() {
    install -m 755 "$1" "$ROOT/tmp/script_test.sh"
    in_root /tmp/script_test.sh
}

# The steps of the template, in their order, read from where they stand.
run_template() {
    local template=$PACKER_DIR/templates/debian-13-pve reference
    mkdir -p "$ROOT/var/log" "$ROOT/tmp"
    # shellcheck disable=SC2016 # HCL fills it in
    while IFS= read -r reference; do
        reference=$template/$reference
        case $reference in
        */scripts/) cp -R "$reference." "$ROOT/var/tmp/image-build/" ;;
        */) cp -R "$reference." "$ROOT/var/tmp/image-build/template/" ;;
        *.sh)
            run_in_root "$reference"
            [ "${reference##*/}" != record-versions.sh ] ||
                cp "$ROOT/var/tmp/image-build/image-version.txt" "$BATS_FILE_TMPDIR/"
            [ "${reference##*/}" != record-packages.sh ] ||
                cp "$ROOT/var/tmp/image-build/packages.tsv" "$BATS_FILE_TMPDIR/"
            ;;
        esac
    done < <(sed -n 's/.*"${path.root}\/\([^"]*\)".*/\1/p' "$PACKER_DIR/shared/packer/build.pkr.hcl")
}

installed() {
    [ "$(in_root "dpkg-query -W -f '\${db:Status-Abbrev}' $1" 2>/dev/null)" = "ii " ]
}

@test "Proxmox VE's packages are installed, and the marker says so" {
    local name
    for name in proxmox-ve pve-manager postfix open-iscsi chrony qemu-guest-agent proxmox-kernel-6.14.8-2-pve-signed; do
        installed "$name"
    done
    grep -qx 'pve-manager 9.0.11' "$ROOT/etc/pve-packages-preinstalled"
}

@test "Debian's kernel is gone, and the boot menu was written after that" {
    [ "$(cd "$ROOT/boot" && ls)" = vmlinuz-6.14.8-2-pve ]
    run ! installed linux-image-cloud-amd64
    grep -q update-grub "$ROOT/srv/called"
}

@test "the repository stays, its source signed by the keyring; the one that needs a subscription is gone" {
    [ "$(find "$ROOT/etc/apt/sources.list.d" -type f -printf "%f\n" | LC_ALL=C sort | paste -sd " ")" = "debian.list proxmox.sources" ]
    grep -qx 'Signed-By: /usr/share/keyrings/proxmox-archive-keyring-trixie.gpg' "$ROOT/etc/apt/sources.list.d/proxmox.sources"
    in_root 'apt-get -q update' >/dev/null
}

@test "the versions are recorded" {
    [ "$(<"$BATS_FILE_TMPDIR/image-version.txt")" = "DEBIAN_VERSION=$(<"$ROOT/etc/debian_version")"$'\n'PVE_VERSION=9.0.11 ]
}

@test "no key, name or address of the build stays" {
    [ ! -s "$ROOT/etc/machine-id" ]
    [ ! -e "$ROOT/root/.ssh" ]
    [ ! -e "$ROOT/etc/ssh/ssh_host_ed25519_key" ]
    [ -z "$(ls -A "$ROOT/var/lib/pve-cluster")" ]
    [ "$(<"$ROOT/etc/iscsi/initiatorname.iscsi")" = GenerateName=yes ]
    run ! grep 'image build' "$ROOT/etc/hosts"
    run ! grep -rE 'PRIVATE KEY' "$ROOT/etc"
    run ! grep -rw debian-13-pve "$ROOT/etc"
    [ -e "$ROOT/var/lib/image-first-boot/wanted" ]
    [ -z "$(ls -A "$ROOT/var/tmp")" ]
    grep -q '^/usr/bin/cloud-init clean' "$ROOT/srv/called"
}

@test "the network is cloud-init's, read by ifupdown2, which has a DHCP client" {
    [ "$(head -n 1 "$ROOT/etc/network/interfaces")" = "source /etc/network/interfaces.d/*" ]
    [ ! -e "$ROOT/etc/network/interfaces.new" ]
    installed isc-dhcp-client
    grep -q 'disable systemd-networkd' "$ROOT/srv/called"
}

@test "apt's lists stay for whoever installs something first; packages and translations don't" {
    find "$ROOT/var/lib/apt/lists" -name '*Packages*' | grep -q .
    run ! grep -q . <(find "$ROOT/var/lib/apt/lists" -name '*Translation*')
    run ! grep -q . <(find "$ROOT/var/cache/apt/archives" -name '*.deb')
}

@test "every package is listed, and Debian's kernel, which went, is not" {
    grep -q $'^pve-manager\t9.0.11\tamd64\tpve-manager\t9.0.11$' "$BATS_FILE_TMPDIR/packages.tsv"
    grep -q $'^os\tdebian\t13\ttrixie\t13' "$BATS_FILE_TMPDIR/packages.tsv"
    run ! grep -q '^linux-image' "$BATS_FILE_TMPDIR/packages.tsv"
}

@test "grub-pc is told where to install, and postfix is not asked" {
    in_root "debconf-show grub-pc" | grep -q 'install_devices: /dev/vda, /dev/sda'
    in_root "debconf-show grub-pc" | grep -q 'install_devices_empty: false'
    grep -A 1 '^grub_dpkg:' "$ROOT/etc/cloud/cloud.cfg.d/90-image-grub.cfg" | grep -q 'enabled: true'
    in_root "debconf-show postfix" | grep -q 'main_mailer_type: Local only'
}

@test "a keyring with another digest stops the installation" {
    mkdir -p "$ROOT/var/tmp/image-build"
    cp -R "$PACKER_DIR/shared/scripts/." "$ROOT/var/tmp/image-build/"
    cp -R "$PACKER_DIR/templates/debian-13-pve" "$ROOT/var/tmp/image-build/template"
    echo forged >"$ROOT/srv/forged.gpg"
    KEYRING_URL=file:///srv/forged.gpg run run_in_root "$PACKER_DIR/templates/debian-13-pve/install-pve.sh"
    [ "$status" -ne 0 ]
    [[ $output == *"is not the one that the template names"* ]]
}
