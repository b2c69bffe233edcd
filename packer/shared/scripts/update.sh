#!/bin/bash
# Brings the base image up to date and adds what every image has.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

preset_grub
blacklist_modules
use_mirrors "${DEBIAN_MIRROR-}" "${DEBIAN_SECURITY_MIRROR-}"

# apt takes a mirror that does not answer for a warning, and would then upgrade nothing.
apt_get -o APT::Update::Error-Mode=any update
apt_get dist-upgrade
apt_get install --no-install-recommends qemu-guest-agent

refresh_initramfs
