#!/bin/sh
# Stands in for packer's checksums.sh on a rehearsed build host: writes an image's checksum file.
set -eu
cd "$(dirname "$0")/images/$1"
sha256sum "$1.qcow2" >"$1.qcow2.sha256"
