#!/bin/bash
# Turns the machine that was built into an image; nothing is particular to this one.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

make_an_image
