#!/bin/bash
# Writes image-version.txt: what this image is, for people and for the release's notes. Lines of
# NAME=value as a shell reads them, with nothing in the values that would need quotes.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

{
    # The point release, such as 12.11. /etc/os-release gives no more than 12.
    echo "DEBIAN_VERSION=$(cat "$IMAGE_ROOT/etc/debian_version")"
    if pve=$(dpkg-query -W -f '${Version}' pve-manager 2>/dev/null) && [ -n "$pve" ]; then
        echo "PVE_VERSION=$pve"
    fi
} >"$IMAGE_BUILD/image-version.txt"
cat "$IMAGE_BUILD/image-version.txt"
