# shellcheck shell=sh
# Read by `sh -s -- FILE FIRST` on a build host: the bytes of a file from number FIRST on, after a marker, since a login
# script may have said something before.
if ! [ -r "$1" ]; then
    echo "no permission to read $1" >&2
    exit 3
fi
if ! command -v tail >/dev/null 2>&1; then
    echo "there is no \`tail\`, without which no transfer can go on where it stopped; install coreutils" >&2
    exit 3
fi
printf 'packer-bytes\0'
exec tail -c "+$2" -- "$1" </dev/null
