#!/bin/bash
# Prints what the templates' base images are upstream today, for those who decide about a rebuild: a new
# Debian point release shows in no diff. One line a template, TAB between the fields:
#
#   template  URL  digest  version
#
# The digest is sha512:<hex> or sha256:<hex>; `unknown`, with the reason on standard error, where upstream does not
# answer. The version is `-` where it cannot be told.
set -euo pipefail

PACKER_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
for part in common.sh base-image.sh; do
    # shellcheck source=/dev/null
    . "$PACKER_DIR/lib/$part"
done

usage() {
    cat <<EOF
usage: ./base-images.sh [IMAGE…]

Prints a line for each IMAGE (all of them without a name): its name, the URL of its base image, the digest that
upstream publishes today, and the version, with TAB between them. A digest that upstream does not tell is
\`unknown\`, and an unknown version is \`-\`.

Exit codes: 0 printed, also with unknown digests · $EXIT_USAGE unknown image or option · $EXIT_MISSING curl is missing
EOF
}

names=()
for argument in "$@"; do
    case $argument in
    -h | --help) usage && exit 0 ;;
    -*) die "$EXIT_USAGE" "unknown option: $argument" "./base-images.sh --help lists the options" ;;
    *) names+=("$argument") ;;
    esac
done
check_names "${names[@]}"
[ "${#names[@]}" -gt 0 ] || mapfile -t names < <(list_templates)
require_tools curl=curl

for name in "${names[@]}"; do
    url=$(template_default "$name" base_image_url)
    digest=$(base_image_digest "$url" "$(template_default "$name" base_image_checksum)") || digest=unknown
    version=
    [ "$digest" = unknown ] || version=$(base_image_version "$url")
    printf '%s\t%s\t%s\t%s\n' "$name" "$(visible "$(without_password "$url")")" "$digest" "${version:--}"
done
