#!/bin/bash
# Turns the machine that was built into an image: whoever boots it gets a machine of their own.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

restore_sources
preset_grub
remove_apt_cache
forget_cloud_init
forget_this_machine
remove_logs
remove_build_files
