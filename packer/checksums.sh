#!/bin/bash
# Writes the checksum file of each image that has none, and checks those that have one.
set -euo pipefail

PACKER_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
IMAGES_DIR=$PACKER_DIR/images
# shellcheck source=/dev/null
. "$PACKER_DIR/lib/common.sh"

usage() {
    cat <<EOF
usage: ./checksums.sh [--verify] [IMAGE…]

Writes images/IMAGE/IMAGE.qcow2.sha256 where there is none, and checks the image where there is one: build.sh writes
it, and a file that no longer fits is a damaged image, not an old checksum. Without a name: every image that is there.

  --verify   check only; an image without a checksum file is an error

Exit codes: 0 all is well · $EXIT_FAILED failed · $EXIT_USAGE usage · $EXIT_MISSING image or checksum file missing · $EXIT_DIFFERS a digest differs
EOF
}

verify='' names=()
for argument in "$@"; do
    case $argument in
    -h | --help) usage && exit 0 ;;
    --verify) verify=1 ;;
    -*) die "$EXIT_USAGE" "unknown option: $argument" "./checksums.sh --help lists the options" ;;
    *) names+=("$argument") ;;
    esac
done
check_names "${names[@]}"
[ "${#names[@]}" -gt 0 ] || mapfile -t names < <(list_images)
[ "${#names[@]}" -gt 0 ] || die "$EXIT_MISSING" "no images in $IMAGES_DIR" "build them with ./build.sh"

status=0
for name in "${names[@]}"; do
    folder=$IMAGES_DIR/$name
    file=$name.qcow2
    if [ ! -f "$folder/$file" ]; then
        complain "no image at $folder/$file; build it with ./build.sh $name"
        status=$EXIT_MISSING
    elif [ -f "$folder/$file.sha256" ]; then
        if (cd -- "$folder" && sha256sum --check --strict --quiet -- "$file.sha256" >/dev/null 2>&1); then
            say "$name: as $file.sha256 says"
        else
            complain "$name: $file does not match $file.sha256; build it again with ./build.sh $name"
            status=$EXIT_DIFFERS
        fi
    elif [ -n "$verify" ]; then
        complain "$name: no $file.sha256; write it with ./checksums.sh $name"
        status=$EXIT_MISSING
    else
        new=$(mktemp -- "$folder/.$file.sha256.XXXXXXXXXX")
        (cd -- "$folder" && sha256sum -- "$file" >"$new" && chmod 644 -- "$new" && mv -f -- "$new" "$file.sha256") || {
            rm -f -- "$new"
            exit "$EXIT_FAILED"
        }
        say "$name: wrote $file.sha256"
    fi
done
exit "$status"
