#!/bin/sh
# Stands in for packer's build.sh on a rehearsed build host: the same results from no virtual machine.
# `./build.sh [--force] IMAGE` writes images/IMAGE/ unless it is there. Settings, from the environment or stand-in.env:
#   SIZE    bytes of an image (default 262144), of which the first 2048 are the smallest qcow2
#   BYTES   a file to take as the image
#   FORCE   build although the image is there
#   SAY     printed before building
#   CHATTER lines that a build prints, ten a second
#   SLEEP   seconds that a build takes
#   FAIL    exit code of a build that fails
#   OLD     do as a build.sh that knows nothing of build records
#   COMMIT  what the record names as built from
#   DEAF    ignore all signals that can be ignored
#   DAEMON  leave a process behind that holds standard output
set -eu
cd "$(dirname "$0")"
# shellcheck source=/dev/null
if [ -f stand-in.env ]; then . ./stand-in.env; fi
if [ "$1" = --force ]; then
    FORCE=1
    shift
fi
name=$1
dir=images/$name
work=images/.$name.work

say() {
    printf '%s\n' "$*" >&2
}

# The 2048 bytes of the smallest qcow2: see image.rs.
smallest() {
    printf 'QFI\373\0\0\0\2'
    head -c 12 /dev/zero
    printf '\0\0\0\011\0\0\0\0\0\0\002\0\0\0\0\0\0\0\0\001\0\0\0\0\0\0\006\0\0\0\0\0\0\0\002\0\0\0\0\001'
    head -c 452 /dev/zero
    printf '\0\0\0\0\0\0\004\0'
    head -c 504 /dev/zero
    printf '\0\001\0\001\0\001\0\001'
    head -c 1016 /dev/zero
}

stopped() {
    trap - HUP INT TERM
    if [ -n "${sleeper-}" ]; then kill "$sleeper"; fi
    rm -rf "$work"
    echo "$name" >>stopped
    # Last: the connection may be gone, and a write to it would end this script.
    say "$name: stopped"
    exit 129
}

if [ -f "$dir/$name.qcow2" ] && [ -z "${FORCE-}" ]; then
    echo "$name: unchanged"
    exit 0
fi

if [ -n "${DEAF-}" ]; then trap '' HUP INT TERM; else trap stopped HUP INT TERM; fi
if [ -n "${DAEMON-}" ]; then setsid sleep 300 & fi
echo "$name: building"
if [ -n "${SAY-}" ]; then printf '%b\n' "$SAY"; fi
echo "$name" >>started
lines=${CHATTER:-0}
while [ "$lines" -gt 0 ]; do
    echo "$name: $lines lines to go"
    lines=$((lines - 1))
    sleep 0.1
done
if [ -n "${SLEEP-}" ]; then
    sleep "$SLEEP" &
    sleeper=$!
    wait "$sleeper"
    sleeper=
fi
if [ -n "${FAIL-}" ]; then
    say "$name: no space for the guest's disk"
    exit "$FAIL"
fi

mkdir -p "$dir" "$work"
if [ -n "${BYTES-}" ]; then
    cp "$BYTES" "$work/$name.qcow2"
else
    { smallest && head -c "$((${SIZE:-262144} - 2048))" /dev/urandom; } >"$work/$name.qcow2"
fi
(cd "$work" && sha256sum "$name.qcow2" >"$name.qcow2.sha256")
digest=$(cut -d ' ' -f 1 "$work/$name.qcow2.sha256")
printf 'DEBIAN_VERSION=12.11\n' >"$work/image-version.txt"
if [ -z "${OLD-}" ]; then
    cat >"$work/$name.build.json" <<EOF
{
  "sha256": "$digest",
  "built_from": { "commit": "${COMMIT:-0123456789abcdef0123456789abcdef01234567}", "dirty": false },
  "versions": { "DEBIAN_VERSION": "12.11" },
  "built_at": "2026-01-02T03:04:05Z"
}
EOF
fi
mv "$work"/* "$dir/"
rmdir "$work"
echo "$name: built"
