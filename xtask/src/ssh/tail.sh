# shellcheck shell=sh
# Read by `sh -s -- FIRST FILE…` on a build host: the bytes of a file, or of several joined, from number FIRST on.
first=$1
shift
for file; do
    # One that is gone has no more bytes: whoever asked lists again what is there.
    if ! [ -e "$file" ]; then
        printf 'packer-bytes\0'
        exit
    fi
    if ! [ -r "$file" ]; then
        echo "no permission to read $file" >&2
        exit 3
    fi
done
if ! command -v tail >/dev/null 2>&1; then
    echo "there is no \`tail\`, without which no transfer can go on where it stopped; install coreutils" >&2
    exit 3
fi
if [ $# -eq 1 ]; then exec tail -c "+$first" -- "$1" </dev/null; fi
cat -- "$@" </dev/null | tail -c "+$first"
