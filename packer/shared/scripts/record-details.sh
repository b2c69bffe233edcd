#!/bin/bash
# Writes details.tsv: how much each package and each larger folder takes, in KiB, so that two images can be compared, and the
# CVE ids that changelogs name for each version of a source package. Runs when all packages have come and gone; what the clean-up
# removes is left out.
set -euo pipefail
# shellcheck source=/dev/null
. "${IMAGE_ROOT-}/var/tmp/image-build/guest.sh"

# cves: a line `cve SOURCE VERSION IDS` for each version that went into a stable release and names CVE ids. The changelog of an
# installed package has its older versions as well.
cves() {
    find "$IMAGE_ROOT/usr/share/doc" -mindepth 2 -maxdepth 2 -name changelog.Debian.gz -type f -exec gzip -dc {} + |
        LC_ALL=C awk '
            /^[a-z0-9][a-z0-9+.-]* \([A-Za-z0-9.+:~-]+\) [^;]*;/ {
                entry = $3 ~ /^(unstable|experimental|UNRELEASED)/ ? "" : $1 "\t" substr($2, 2, length($2) - 2)
                next
            }
            entry != "" {
                while (match($0, /CVE-[0-9]+-[0-9]+/)) {
                    id = substr($0, RSTART, RLENGTH)
                    $0 = substr($0, RSTART + RLENGTH)
                    if (!((entry, id) in seen)) ids[entry] = ids[entry] " " id
                    seen[entry, id]
                }
            }
            END { for (entry in ids) print "cve\t" entry "\t" substr(ids[entry], 2) }
        ' | LC_ALL=C sort
}

{
    # shellcheck disable=SC2016 # dpkg-query fills these in
    dpkg-query --admindir="$IMAGE_ROOT/var/lib/dpkg" -W -f '${db:Status-Status}\tpackage\t${Package}\t${Architecture}\t${Installed-Size}\n' |
        sed -n 's/^installed\t//p'
    (
        cd "$IMAGE_ROOT/"
        du -xk --max-depth=3 --exclude=./proc --exclude=./sys --exclude=./run --exclude=./tmp --exclude=./var/tmp --exclude=./var/log \
            --exclude=./var/cache --exclude=./var/lib/apt/lists . 2>/dev/null |
            awk -F '\t' '$1 >= 1024 && $2 ~ /^\.\/[A-Za-z0-9._+\/-]+$/ { print "folder\t" substr($2, 2) "\t\t" $1 }'
    )
    cves
} >"$IMAGE_BUILD/details.tsv"
wc -l <"$IMAGE_BUILD/details.tsv"
