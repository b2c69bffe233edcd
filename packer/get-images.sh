#!/bin/sh
# Fetches homestak's images from a release. A file takes its name when all of its bytes were checked, and not before.
#
# Needs a POSIX shell with the usual tools, curl or wget, and sha256sum or shasum; for signatures, ssh-keygen.
set -eu
LC_ALL=C
export LC_ALL
umask 022

usage() {
    cat <<'USAGE'
usage: get-images.sh [OPTION…] [IMAGE…]

Without a name: what there is.

  --all                   all images
  --dir DIR               where they go (default: here)
  --force                 replace an image that is there and differs
  --tag TAG               the release (default: latest)
  --repo OWNER/NAME       the repository (default: homestak-dev/packer)
  --url URL               the folder that the files are fetched from, in place of the release's
  --allowed-signers FILE  who may sign (default: allowed_signers beside this script); with it, signatures are checked
  --verify-signature      fail unless the checksums are signed by one of them

Run it again to go on with a download that ended early.
Exit codes: 0 done, 1 failed, 2 usage, 3 something is missing, 4 a digest or a signature is wrong.
USAGE
}

# fail CODE WORDS…
fail() {
    code=$1
    shift
    echo "get-images.sh: $*" >&2
    exit "$code"
}

refuse() {
    echo "get-images.sh: $1" >&2
    usage >&2
    exit 2
}

all=false
force=false
must_be_signed=false
dir=.
tag=latest
repo=${HOMESTAK_PACKER_REPO:-homestak-dev/packer}
url=
signers=
names=
while [ $# -gt 0 ]; do
    case $1 in
        --dir | --tag | --repo | --url | --allowed-signers)
            [ -n "${2-}" ] || refuse "$1 needs a value"
            case $1 in
                --dir) dir=$2 ;;
                --tag) tag=$2 ;;
                --repo) repo=$2 ;;
                --url) url=${2%/} ;;
                --allowed-signers) signers=$2 ;;
            esac
            shift
            ;;
        --all) all=true ;;
        --force) force=true ;;
        --list) ;;
        --verify-signature) must_be_signed=true ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) refuse "unknown option: $1" ;;
        *[!A-Za-z0-9._-]* | "" | .*) refuse "no image has such a name: $1" ;;
        *) names="$names ${1%.qcow2}" ;;
    esac
    shift
done
[ -n "$url" ] || url=https://github.com/$repo/releases/download/$tag

if command -v curl >/dev/null 2>&1; then
    client=curl
elif command -v wget >/dev/null 2>&1; then
    client=wget
    # BusyBox's has other options, and one of Debian 12 ends with a fault when it is given a time limit.
    patience=
    if wget --version 2>/dev/null | grep -q GNU; then patience="-T 60 -t 1"; fi
else
    fail 3 "neither curl nor wget is here; install one of them"
fi
if command -v sha256sum >/dev/null 2>&1; then
    hasher() { sha256sum; }
elif command -v shasum >/dev/null 2>&1; then
    hasher() { shasum -a 256; }
else
    fail 3 "neither sha256sum nor shasum is here; install one of them"
fi

work=$(mktemp -d) || fail 1 "no folder for temporary files"
lock=
leave() {
    rm -rf "$work"
    [ -z "$lock" ] || rm -rf "$lock"
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# digest: of standard input.
digest() {
    hasher | cut -d ' ' -f 1
}

size() {
    if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi
}

# cut_to FILE SIZE: drops what comes after its first bytes.
cut_to() {
    dd if=/dev/null of="$1" bs=1 seek="$2" 2>/dev/null
}

# get FILE: a small one, into the work folder. 1: there is none.
get() {
    case $client in
        curl)
            status=$(curl -sSL --retry 3 --connect-timeout 30 --max-time 120 -w '%{http_code}' -o "$work/$1" "$url/$1" 2>"$work/said") ||
                fail 1 "fetching $url/$1: $(cat "$work/said")"
            case $status in
                200) return 0 ;;
                404 | 410) ;;
                *) fail 1 "fetching $url/$1: HTTP $status" ;;
            esac
            ;;
        wget)
            # shellcheck disable=SC2086 # options, or none
            wget $patience -O "$work/$1" "$url/$1" 2>"$work/said" && return 0
            grep -Eq '(ERROR|error:).* (404|410)' "$work/said" ||
                fail 1 "fetching $url/$1: $(grep . "$work/said" | tail -n 1)"
            ;;
    esac
    rm -f "$work/$1"
    return 1
}

# check_signature: that SHA256SUMS is what somebody signed who may.
check_signature() {
    here=$(dirname "$0")/allowed_signers
    # One that names nobody yet asks for nothing.
    [ -n "$signers" ] || ! grep -Eqv '^[[:space:]]*(#|$)' "$here" 2>/dev/null || signers=$here
    [ -z "$signers" ] || [ -f "$signers" ] || fail 3 "no file $signers"
    if [ -z "$signers" ] && $must_be_signed; then
        fail 3 "nothing here says who may sign; take allowed_signers from the repository, by a way that you trust, and name it with --allowed-signers"
    fi
    if ! get SHA256SUMS.sig; then
        [ -z "$signers" ] || fail 4 "SHA256SUMS is not signed, and $signers names who signs; nothing was fetched"
        return 0
    fi
    if ! command -v ssh-keygen >/dev/null 2>&1; then
        [ -z "$signers" ] || fail 3 "ssh-keygen is not here, and signatures are checked with it; install openssh-client"
        return 0
    fi
    set -- -n file -s "$work/SHA256SUMS.sig"
    if [ -z "$signers" ]; then
        # Nobody vouches for the key. That the signature is of another file shows all the same.
        ssh-keygen -Y check-novalidate "$@" <"$work/SHA256SUMS" >"$work/said" 2>&1 ||
            fail 4 "the signature is not of this SHA256SUMS: somebody changed one of them; nothing was fetched"
        echo "signed, by a key that nobody here vouches for: $(sed -n 's/.* key //p' "$work/said")" >&2
        return 0
    fi
    who=$(ssh-keygen -Y find-principals -s "$work/SHA256SUMS.sig" -f "$signers" 2>/dev/null | head -n 1)
    [ -n "$who" ] || fail 4 "SHA256SUMS is signed by a key that is not in $signers; nothing was fetched"
    ssh-keygen -Y verify -f "$signers" -I "$who" "$@" <"$work/SHA256SUMS" >"$work/said" 2>&1 ||
        fail 4 "SHA256SUMS is not what $who signed: $(tail -n 1 "$work/said"); nothing was fetched"
    echo "signed by $who" >&2
}

# named PATTERN: the files in SHA256SUMS whose names fit all of it, each with its digest before it.
named() {
    grep -E "^[0-9a-f]{64}  $1\$" "$work/SHA256SUMS" || true
}

# as_pattern NAME: it fits itself alone. Names have letters, digits, `.`, `_` and `-`.
as_pattern() {
    printf '%s' "$1" | sed 's/\./\\./g'
}

# promised FILE: its digest.
promised() {
    named "$(as_pattern "$1")" | head -n 1 | cut -c 1-64
}

# pieces IMAGE: its parts as they are joined, or its own name when it is whole.
pieces() {
    parts=$(named "$(as_pattern "$1")\.qcow2\.part[a-z]{2,}" | cut -c 67- | sort)
    echo "${parts:-$1.qcow2}"
}

images() {
    named '[A-Za-z0-9_][A-Za-z0-9._-]*\.qcow2' | cut -c 67- | sed 's/\.qcow2$//' | sort -u
}

# list: each image, in how many parts, and whether it is here.
list() {
    for image in $(images); do
        # shellcheck disable=SC2046 # names have no blanks
        set -- $(pieces "$image")
        how="$# parts"
        [ $# -gt 1 ] || how=whole
        here=
        [ ! -f "$dir/$image.qcow2" ] || here="here, not compared"
        printf '%-24s %-10s %s\n' "$image" "$how" "$here"
    done
}

# onto FILE BASE: the rest of a piece to the end of $joined, which has BASE bytes of others. With curl it goes where it
# belongs. wget can't do that: it gets a file of its own, which is gone when it was joined.
onto() {
    "with_$client" "$url/$1" "$2" "$(promised "$1")"
}

with_curl() {
    address=$1 base=$2
    have=$(($(size "$joined") - base))
    set -- -fL --connect-timeout 30 --speed-limit 1 --speed-time 60 -D "$work/headers"
    [ "$have" -eq 0 ] || set -- "$@" -r "$have-"
    code=0
    rm -f "$work/headers"
    if [ -t 2 ]; then
        : >"$work/said"
        curl -# "$@" "$address" >>"$joined" || code=$?
    else
        curl -sS "$@" "$address" >>"$joined" 2>"$work/said" || code=$?
    fi
    status=$(sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$work/headers" 2>/dev/null | tail -n 1)
    case $status in
        # All of it is here already.
        416) return 0 ;;
        # A server that doesn't know ranges sent it from the start.
        200)
            [ "$have" -eq 0 ] || {
                cut_to "$joined" "$base"
                return 1
            }
            ;;
    esac
    return "$code"
}

with_wget() {
    piece=$joined
    if [ "$2" -gt 0 ]; then
        piece=$joined.piece
        cut_to "$joined" "$2"
    fi
    began=$(size "$piece")
    # shellcheck disable=SC2086 # options, or none
    if ! wget -q -c $patience -O "$piece" "$1" 2>"$work/said" && [ "$(digest <"$piece")" != "$3" ]; then
        # It is there and can't be continued: begin anew.
        [ "$(size "$piece")" -gt "$began" ] || ! wget -q --spider $patience "$1" 2>/dev/null || rm -f "$piece"
        return 1
    fi
    [ "$piece" = "$joined" ] || {
        cat "$piece" >>"$joined"
        rm -f "$piece"
    }
}

# bring FILE BASE: a piece behind BASE bytes of $joined, checked.
bring() {
    tries=0
    wait=1
    while :; do
        before=$(size "$joined")
        if onto "$1" "$2"; then
            found=$(tail -c "+$(($2 + 1))" "$joined" | digest)
            [ "$found" != "$(promised "$1")" ] || return 0
            cut_to "$joined" "$2"
            why="it arrived with sha256 $found, SHA256SUMS says $(promised "$1")"
            code=4
        else
            why=$(grep . "$work/said" | tail -n 1) || true
            code=1
        fi
        tries=$((tries + 1))
        # Bytes that arrived are no failure of the next attempt.
        [ "$(size "$joined")" -le "$before" ] || tries=1 wait=1
        [ "$tries" -lt 4 ] || fail "$code" "fetching $url/$1: ${why:-no answer}; run this again to go on"
        echo "get-images.sh: $1: ${why:-no answer}; again in $wait s" >&2
        sleep "$wait"
        wait=$((wait * 2))
    done
}

# fetch IMAGE
fetch() {
    image=$1
    target=$dir/$image.qcow2
    want=$(promised "$image.qcow2")
    if [ -e "$target" ]; then
        if [ "$(digest <"$target")" = "$want" ]; then
            printf '%s  %s\n' "$want" "$image.qcow2" >"$target.sha256"
            echo "$image.qcow2: unchanged, verified"
            return
        fi
        $force || fail 4 "$target is another one than on the release; keep it, or replace it with --force"
    fi
    # The digest in the name: bytes of another image are never taken for this one's.
    joined=$dir/.$image.incomplete-$(echo "$want" | cut -c 1-16)
    lock=$joined.lock
    if ! mkdir "$lock" 2>/dev/null; then
        other=$(cat "$lock/pid" 2>/dev/null) || other=
        if [ -n "$other" ] && kill -0 "$other" 2>/dev/null; then
            lock=
            fail 1 "another run (process $other) fetches $image; let it finish"
        fi
        [ -d "$lock" ] || fail 1 "$dir can't be written to"
    fi
    echo $$ >"$lock/pid"
    echo "$image.qcow2: fetching" >&2
    resumed=false
    [ ! -s "$joined" ] || resumed=true
    while :; do
        whole_of "$image"
        # An image of one piece, which was checked as it came, isn't read once more.
        [ "$number $brought" != "1 1" ] || break
        [ "$(digest <"$joined")" != "$want" ] || break
        rm -f "$joined" "$joined.at" "$joined.piece"
        $resumed || fail 4 "$image.qcow2 as joined is not what SHA256SUMS says; nothing was kept"
        echo "get-images.sh: $image.qcow2: what an earlier run left doesn't fit; once more from the start" >&2
        resumed=false
    done
    mv -f "$joined" "$target"
    printf '%s  %s\n' "$want" "$image.qcow2" >"$target.sha256"
    rm -rf "$joined.at" "$joined.piece" "$lock"
    lock=
    echo "$image.qcow2: fetched, verified"
}

# whole_of IMAGE: all pieces into $joined, going on behind those that an earlier run checked.
whole_of() {
    at=0
    ready=0
    if [ -f "$joined.at" ]; then
        read -r at ready <"$joined.at" || true
    fi
    case "$at$ready" in
        *[!0-9]* | "") at=0 ready=0 ;;
    esac
    [ "$(size "$joined")" -ge "$at" ] || at=0 ready=0
    [ -e "$joined" ] || : >"$joined"
    number=0
    brought=0
    for file in $(pieces "$1"); do
        number=$((number + 1))
        [ "$number" -gt "$ready" ] || continue
        bring "$file" "$at"
        brought=$((brought + 1))
        at=$(size "$joined")
        echo "$at $number" >"$work/at"
        mv -f "$work/at" "$joined.at"
    done
}

get SHA256SUMS ||
    fail 3 "no SHA256SUMS at $url: nothing is published there, or by an older tool; then fetch NAME.qcow2.sha256 with the image and run sha256sum -c"
check_signature
[ -n "$(images)" ] || fail 4 "SHA256SUMS at $url names no image"
if $all; then names=$(images); fi
if [ -z "$names" ]; then
    list
    exit 0
fi
for name in $names; do
    [ -n "$(promised "$name.qcow2")" ] ||
        fail 2 "no image $name there; there are: $(images | tr '\n' ' ')"
done
mkdir -p "$dir" || fail 1 "no folder $dir to write to"
for name in $names; do
    fetch "$name"
done
