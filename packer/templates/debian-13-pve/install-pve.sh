#!/bin/bash
# Installs Proxmox VE's packages, so that a host made from this image only has to be configured.
# Leaves /etc/pve-packages-preinstalled, by which provisioning knows that it can skip this part.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

# shellcheck source=/dev/null
. "${IMAGE_BUILD:?}/template/proxmox.sh"
# shellcheck source=/dev/null
. "$IMAGE_BUILD/template/network.sh"
# Where provisioning puts it as well: apt refuses two sources of one repository with different keyrings.
KEYRING=/usr/share/keyrings/proxmox-archive-keyring-trixie.gpg

add_repository() {
    apt_get install --no-install-recommends ca-certificates curl
    curl -fsSL --retry 3 -o "$KEYRING" "$PVE_KEYRING_URL"
    if ! echo "$PVE_KEYRING_SHA256  $KEYRING" | sha256sum --check --quiet; then
        echo "the keyring from $PVE_KEYRING_URL is not the one that the template names" >&2
        echo "if Proxmox has a new one, check its digest there and change it in proxmox.sh" >&2
        exit 1
    fi
    cat >/etc/apt/sources.list.d/proxmox.sources <<EOF
Types: deb
URIs: $PVE_REPOSITORY_URL
Suites: $PVE_SUITE
Components: $PVE_COMPONENT
Signed-By: $KEYRING
EOF
    apt_get -o APT::Update::Error-Mode=any update
}

# pve-cluster starts only where the host's name stands for an address that others can reach.
name_this_host() {
    local address
    address=$(hostname -I | awk '{ print $1 }')
    # cloud-init's line goes: of two addresses the first counts.
    sed -i -E '/# image build$/d; /^127\.0\.1\.1[[:space:]]/d' /etc/hosts
    echo "$address $(hostname).localdomain $(hostname) # image build" >>/etc/hosts
}

answer_questions() {
    debconf-set-selections <<EOF
postfix postfix/main_mailer_type select Local only
postfix postfix/mailname string localhost
EOF
}

# The packages bring sources that need a subscription: without one every apt update would fail.
remove_subscription_sources() {
    local file
    for file in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
        if [ -f "$file" ] && grep -q 'enterprise\.proxmox\.com' "$file"; then
            rm -f "$file"
        fi
    done
}

remove_debian_kernels() {
    local kernels=()
    mapfile -t kernels < <(
        installed_kernels
        dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' linux-image-amd64 linux-image-cloud-amd64 \
            2>/dev/null | awk '$1 == "ii" { print $2 }'
    )
    purge_kernels "${kernels[@]}"
}

add_repository
name_this_host
answer_questions
prepare_network
apt_get dist-upgrade
# ifupdown2 knows DHCP only through this client, and does not depend on it.
apt_get install isc-dhcp-client
apt_get install proxmox-ve postfix open-iscsi chrony
remove_subscription_sources

# Proxmox VE brings its own kernel, and Debian's would be the one that a boot menu might choose. But
# an image without any kernel is of no use: only when the other one is really there.
if ls /boot/vmlinuz-*-pve >/dev/null 2>&1; then
    remove_debian_kernels
    update-grub
else
    echo "proxmox-ve left no kernel in /boot; Debian's stays" >&2
    exit 1
fi

{
    echo "# The packages of Proxmox VE were installed when this image was built."
    dpkg-query -W -f '${Package} ${Version}\n' proxmox-ve pve-manager postfix open-iscsi chrony 2>/dev/null || true
} >/etc/pve-packages-preinstalled
