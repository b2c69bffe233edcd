#!/bin/bash
# Runs what this image's template installs beyond what every image has, then removes what is left over. After this no
# package comes or goes, so that what is recorded is what the image has.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

for script in "$IMAGE_BUILD"/template/install-*.sh; do
    [ -f "$script" ] || continue
    bash "$script"
done
remove_older_kernels
remove_unused_packages
