#!/bin/bash
# Writes files.tsv: the files of the image, a line each, so that two images can be compared: path, kind and mode, owner,
# size, and the first 16 hex digits of the SHA-256 or the target of a link. What the clean-up removes and what each machine
# makes anew is left out, and so is a path with a control character or a backslash. Runs when all packages have come and gone.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

cd "$IMAGE_ROOT/"
left_out=()
for path in ./proc ./sys ./dev ./run ./tmp ./var/tmp ./var/log ./var/cache ./var/lib/apt/lists ./var/lib/cloud ./var/lib/dhcp \
    ./var/lib/systemd ./root ./etc/machine-id './etc/ssh/ssh_host_*' './etc/ssl/*/ssl-cert-snakeoil.*' '*[[:cntrl:]\\]*'; do
    left_out+=(-path "$path" -prune -o)
done
find . -xdev "${left_out[@]}" -type f -print0 | xargs -0 -r sha256sum -- >"$IMAGE_BUILD/digests"
find . -xdev -mindepth 1 "${left_out[@]}" -printf '%p\t%y%m\t%U:%G\t%s\t%l\n' |
    LC_ALL=C awk -F '\t' '
        FILENAME != "-" { digest[substr($0, 67)] = substr($0, 1, 16); next }
        NF != 5 || /[\001-\010\013-\037\177]/ { next }
        $1 in digest { print substr($1, 2) "\t" $2 "\t" $3 "\t" $4 "\t" digest[$1]; next }
        { print substr($1, 2) "\t" $2 "\t" $3 "\t-\t" ($5 == "" ? "-" : "-> " $5) }
    ' "$IMAGE_BUILD/digests" - | LC_ALL=C sort >"$IMAGE_BUILD/files.tsv"
wc -l <"$IMAGE_BUILD/files.tsv"
