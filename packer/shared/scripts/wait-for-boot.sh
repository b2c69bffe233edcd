#!/bin/bash
# Waits until cloud-init has finished the first boot, and makes room for the other scripts. apt and
# the root file system's growth would otherwise race with provisioning.
set -euo pipefail

status=0
timeout 900 cloud-init status --wait || status=$?
# 2 stands for "done, with something recoverable to note", 1 for a failure, 124 for the timeout.
if [ "$status" -ne 0 ] && [ "$status" -ne 2 ]; then
    echo "cloud-init did not finish the first boot (exit $status):" >&2
    cloud-init status --long >&2 || true
    tail -n 40 /var/log/cloud-init.log >&2 || true
    exit 1
fi

rm -rf /var/tmp/image-build
mkdir -p /var/tmp/image-build/template
