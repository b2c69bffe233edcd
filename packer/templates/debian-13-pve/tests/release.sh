#!/bin/bash
# It is the release that the image is named for, also after an upgrade, and says at each login what image it is.
set -euo pipefail

# shellcheck source=/dev/null
. /etc/os-release
[ "$VERSION_ID" = 13 ] || { echo "this is $PRETTY_NAME" && exit 1; }
grep -qx "IMAGE_ID=$IMAGE" /etc/homestak-image
run-parts /etc/update-motd.d | grep -qx "IMAGE_ID=$IMAGE"
