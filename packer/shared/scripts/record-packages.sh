#!/bin/bash
# Writes packages.tsv: the system, then every package that is installed, a line each. build.sh makes the image's
# list of packages of it. Runs when all packages have come and gone.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

{
    (
        # shellcheck source=/dev/null
        . "$IMAGE_ROOT/etc/os-release"
        printf 'os\t%s\t%s\t%s\t%s\n' "$ID" "$VERSION_ID" "$VERSION_CODENAME" "$(cat "$IMAGE_ROOT/etc/debian_version")"
    )
    # shellcheck disable=SC2016 # dpkg-query fills these in
    dpkg-query --admindir="$IMAGE_ROOT/var/lib/dpkg" -W \
        -f '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' |
        sed -n 's/^installed\t//p' | LC_ALL=C sort
} >"$IMAGE_BUILD/packages.tsv"
wc -l <"$IMAGE_BUILD/packages.tsv"
