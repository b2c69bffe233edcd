#!/bin/bash
# Turns the machine that was built into an image: whoever boots it gets a machine of their own.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"
# shellcheck source=/dev/null
. "${IMAGE_BUILD:?}/template/network.sh"

# Keys, certificates and the cluster's own files, made when the packages were configured under the
# build's host name. Proxmox VE's services write all of them anew when they find none.
forget_this_node() {
    local root=$IMAGE_ROOT
    if [ -z "$root" ]; then
        systemctl stop pve-cluster 2>/dev/null || true
    fi
    rm -rf "$root"/var/lib/pve-cluster/* "$root"/var/lib/rrdcached/db/*
    # install-pve.sh wrote the build's address here.
    sed -i '/# image build$/d' "$root/etc/hosts"
}

finish_network
forget_this_node
make_an_image
