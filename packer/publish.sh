#!/bin/bash
# Copies images into a Proxmox VE host's storage, where virtual machines are made from them. (Publishing a release is
# `cargo xtask packer publish`.)
set -euo pipefail

PACKER_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
IMAGES_DIR=$PACKER_DIR/images
STORAGE=/var/lib/vz/template/iso
# shellcheck source=/dev/null
. "$PACKER_DIR/lib/common.sh"

usage() {
    cat <<EOF
usage: ./publish.sh [--storage DIR] [IMAGE…]

Copies images/IMAGE/IMAGE.qcow2 to DIR/IMAGE.img (default $STORAGE) after checking it against its
checksum file. Without a name: every image that is there. A copy that is there already is left alone, and a new one
appears under its name only when it is complete.

Exit codes: 0 done · $EXIT_FAILED failed · $EXIT_USAGE usage · $EXIT_MISSING image, checksum file or storage missing · $EXIT_DIFFERS a digest differs
EOF
}

names=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --storage)
        [ -n "${2-}" ] || die "$EXIT_USAGE" "--storage needs a folder"
        STORAGE=$2
        shift
        ;;
    -*) die "$EXIT_USAGE" "unknown option: $1" "./publish.sh --help lists the options" ;;
    *) names+=("$1") ;;
    esac
    shift
done
check_names "${names[@]}"
[ "${#names[@]}" -gt 0 ] || mapfile -t names < <(list_images)
[ "${#names[@]}" -gt 0 ] || die "$EXIT_MISSING" "no images in $IMAGES_DIR" "build them with ./build.sh"
[ -d "$STORAGE" ] || die "$EXIT_MISSING" "no folder $STORAGE: is this a Proxmox VE host?" \
    "--storage names another folder"

"$PACKER_DIR/checksums.sh" --verify "${names[@]}"

partial=
trap '[ -z "$partial" ] || rm -f -- "$partial"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
for name in "${names[@]}"; do
    image=$IMAGES_DIR/$name/$name.qcow2
    target=$STORAGE/$name.img
    read -r hex _ <"$image.sha256"
    if [ -f "$target" ] && has_sha256 "$target" "$hex"; then
        say "$name: already at $target"
        continue
    fi
    # A new file under a random name: a link planted under a known name would lead elsewhere.
    partial=$(mktemp -- "$STORAGE/.$name.img.XXXXXXXXXX")
    chmod 644 -- "$partial"
    cp -- "$image" "$partial"
    sync -- "$partial"
    has_sha256 "$partial" "$hex" || die "$EXIT_DIFFERS" "$name: the copy in $STORAGE differs from the image" \
        "check the disk, and that no build of the image is running"
    mv -f -- "$partial" "$target"
    partial=
    say "$name: copied to $target"
done
