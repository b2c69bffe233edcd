#!/bin/bash
# Prints what Debian and Proxmox offer today, for those who decide about a rebuild: security fixes show in no diff.
set -euo pipefail

PACKER_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
for part in common.sh base-image.sh; do
    # shellcheck source=/dev/null
    . "$PACKER_DIR/lib/$part"
done
: "${DEBIAN_MIRROR:=http://deb.debian.org/debian}" "${DEBIAN_SECURITY_MIRROR:=http://deb.debian.org/debian-security}"
: "${DEBIAN_KEYRING:=/usr/share/keyrings/debian-archive-keyring.gpg}"

usage() {
    cat <<EOF
usage: ./package-index.sh INDEX…

INDEX is one of
  security:CODENAME   Debian's security archive, such as security:trixie
  main:CODENAME       the release itself, with its point releases
  updates:CODENAME    what comes between point releases
  proxmox:IMAGE       the repository that the template IMAGE names, such as proxmox:debian-13-pve

For each a line \`index INDEX SUITE DATE\`, then a line for each of its packages: INDEX, package, version, source package
and the source's version, with TAB between the fields. Signatures are checked with gpgv.

Settings, from the environment: DEBIAN_MIRROR, DEBIAN_SECURITY_MIRROR, DEBIAN_KEYRING.

Exit codes: 0 printed · $EXIT_USAGE unknown index · $EXIT_MISSING a tool, a keyring, an index or its signature is missing
EOF
}

WORK=$(mktemp -d)
trap 'rm -rf -- "$WORK"' EXIT

# An index counts only with a signature by a key in the keyring that is named for it.

# signed_release URL KEYRING FILE: writes what is signed of the InRelease at URL. Several keys sign Debian's, of which a
# keyring may lack some, so gpgv's exit status says little. Text before or after the signed part is not signed, so only
# gpgv's own output is read.
signed_release() {
    local said
    read_url "$1" >"$WORK/InRelease" 2>"$WORK/said" || {
        complain "cannot read $(without_password "$1"): $(said <"$WORK/said")"
        return 1
    }
    rm -f -- "$3"
    gpgv --status-fd 1 --keyring "$2" --output "$3" "$WORK/InRelease" >"$WORK/status" 2>"$WORK/said" || true
    if ! grep -q '^\[GNUPG:\] VALIDSIG ' "$WORK/status" || ! grep -q '^\[GNUPG:\] GOODSIG ' "$WORK/status" || [ ! -s "$3" ]; then
        said=$(grep -v '^gpgv: Signature made' "$WORK/said" | tail -n 1)
        complain "$(without_password "$1") has no good signature of a key in $2: ${said:-not signed}"
        return 1
    fi
}

# release_field NAME FILE
release_field() {
    sed -n "s/^$1: *//p" "$2" | head -n 1
}

# release_digest PATH FILE: the SHA256 that a release file gives for PATH.
release_digest() {
    awk -v path="$1" '/^[^ ]/ { inside = ($1 == "SHA256:") } inside && $3 == path { print $1; exit }' "$2"
}

# check_release URL SUITE FILE: it is of that suite, and not one that was kept from long ago.
check_release() {
    local codename until
    codename=$(release_field Codename "$3")
    if [ "$codename" != "$2" ]; then
        complain "$(without_password "$1") is the release $codename, not $2"
        return 1
    fi
    until=$(release_field Valid-Until "$3")
    [ -n "$until" ] || return 0
    until=$(date -u -d "$until" +%s 2>/dev/null) || until=0
    if [ "$until" -le "$(date -u +%s)" ]; then
        complain "$(without_password "$1") was valid until $(release_field Valid-Until "$3"): the mirror is old, or this machine's clock is wrong"
        return 1
    fi
}

# print_index NAME URL SUITE COMPONENT KEYRING: a line `index NAME SUITE DATE`, then for each package of the suite a line
# `NAME package version source source-version`, with TAB between the fields.
print_index() {
    local name=$1 url=${2%/}/dists/$3 suite=$3 component=$4 keyring=$5 suffix path digest sum
    signed_release "$url/InRelease" "$keyring" "$WORK/Release" || return 1
    check_release "$url/InRelease" "$suite" "$WORK/Release" || return 1
    for suffix in .xz .gz ''; do
        path=$component/binary-amd64/Packages$suffix
        digest=$(release_digest "$path" "$WORK/Release")
        [ -n "$digest" ] || continue
        SMALL_FILE_TIMEOUT=600 SMALL_FILE_LIMIT=268435456 read_url "$url/$path" >"$WORK/Packages$suffix" 2>"$WORK/said" && break
        digest=
    done
    if [ -z "$digest" ]; then
        complain "$(without_password "$url") has no $component/binary-amd64/Packages: $(said <"$WORK/said")"
        return 1
    fi
    sum=$(sha256sum <"$WORK/Packages$suffix")
    if [ "${sum%% *}" != "$digest" ]; then
        complain "$(without_password "$url/$path") does not match the signed InRelease; if the mirror is being updated, try again in some minutes"
        return 1
    fi
    printf 'index\t%s\t%s\t%s\n' "$name" "$suite" "$(release_field Date "$WORK/Release")"
    case $suffix in
    .xz) xz -dc -- "$WORK/Packages.xz" ;;
    .gz) gzip -dc -- "$WORK/Packages.gz" ;;
    *) cat -- "$WORK/Packages" ;;
    esac | LC_ALL=C awk -v name="$name" '
        function flush() {
            if (package != "") printf "%s\t%s\t%s\t%s\t%s\n", name, package, version, (source == "" ? package : source), (fixed == "" ? version : fixed)
            package = version = source = fixed = ""
        }
        /^Package:/ { package = $2; next }
        /^Version:/ { version = $2; next }
        # `Source: openssl` or `Source: openssl (3.0.19-1)`, where it has another version.
        /^Source:/ { source = $2; fixed = $3; gsub(/[()]/, "", fixed); next }
        /^$/ { flush() }
        END { flush() }'
}

# proxmox_setting IMAGE NAME: the value in the environment, else what the template's proxmox.sh gives it in a line `: "${NAME:=VALUE}"` or
# `NAME=VALUE`. The file is read and not run: a template may be somebody's proposal.
proxmox_setting() {
    if [ -n "${!2-}" ]; then
        printf '%s' "${!2}"
        return
    fi
    sed -n 's/^: "${'"$2"':=\([A-Za-z0-9:/._~%+@-]*\)}"$/\1/p; s/^\([A-Z_]*=[^ ]* \)*'"$2"'=\([A-Za-z0-9:/._~%+@-]*\)\( .*\)\{0,1\}$/\2/p' \
        -- "$PACKER_DIR/templates/$1/proxmox.sh" | head -n 1
}

# read_proxmox IMAGE: sets the PVE_ settings of a template.
read_proxmox() {
    local name value
    for name in PVE_REPOSITORY_URL PVE_KEYRING_URL PVE_KEYRING_SHA256 PVE_SUITE PVE_COMPONENT; do
        value=$(proxmox_setting "$1" "$name")
        [ -n "$value" ] || {
            complain "templates/$1/proxmox.sh gives no $name" "expected a line $name=VALUE"
            return 1
        }
        printf -v "$name" %s "$value"
    done
}

# proxmox_keyring: writes the keyring that the template pins.
proxmox_keyring() {
    local sum
    read_url "$PVE_KEYRING_URL" >"$WORK/proxmox.gpg" 2>"$WORK/said" || {
        complain "cannot read $(without_password "$PVE_KEYRING_URL"): $(said <"$WORK/said")"
        return 1
    }
    sum=$(sha256sum <"$WORK/proxmox.gpg")
    [ "${sum%% *}" = "$PVE_KEYRING_SHA256" ] || {
        complain "the keyring from $PVE_KEYRING_URL is not the one that the template names"
        return 1
    }
}

# print_one INDEX
print_one() {
    local what=${1%%:*} of=${1#*:}
    case $what in
    security) print_index "$1" "$DEBIAN_SECURITY_MIRROR" "$of-security" main "$DEBIAN_KEYRING" ;;
    main) print_index "$1" "$DEBIAN_MIRROR" "$of" main "$DEBIAN_KEYRING" ;;
    updates) print_index "$1" "$DEBIAN_MIRROR" "$of-updates" main "$DEBIAN_KEYRING" ;;
    proxmox)
        read_proxmox "$of" && proxmox_keyring && print_index "$1" "$PVE_REPOSITORY_URL" "$PVE_SUITE" "$PVE_COMPONENT" "$WORK/proxmox.gpg"
        ;;
    esac
}

case ${1---help} in
-h | --help) usage && exit 0 ;;
esac
for argument in "$@"; do
    case $argument in
    security:* | main:* | updates:*) [[ ${argument#*:} =~ ^[a-z]+$ ]] ;;
    proxmox:*) is_template "${argument#*:}" && [ -f "$PACKER_DIR/templates/${argument#*:}/proxmox.sh" ] ;;
    *) false ;;
    esac || die "$EXIT_USAGE" "unknown index: $argument" "./package-index.sh --help lists them"
done
require_tools curl=curl gpgv=gpgv xz=xz-utils
[ -f "$DEBIAN_KEYRING" ] || die "$EXIT_MISSING" "no keyring $DEBIAN_KEYRING" \
    "install with: apt-get install debian-archive-keyring, or name another with DEBIAN_KEYRING"
for argument in "$@"; do
    print_one "$argument" || exit "$EXIT_MISSING"
done
