# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR [IMAGE…]` on a build host. Says in NUL-terminated fields what is there: file names
# and small files can hold any other byte.
dir=$1
shift
small() {
    if [ -f "$1" ]; then
        printf '+'
        head -c 65537 "$1" | tr -d '\000'
    else
        printf '-'
    fi
    printf '\0'
}
# A login script may have said something before.
printf 'packer-listing\0'
if cd "$dir" 2>/dev/null; then
    if [ -x build.sh ]; then printf 'build-script\0'; fi
    for file in images/*/*.qcow2; do
        if [ -e "$file" ]; then printf 'file\0%s\0' "$file"; fi
    done
    for name; do
        base=images/$name/$name.qcow2
        [ -f "$base" ] || continue
        printf 'image\0%s\0' "$name"
        stat -L -c '%s %Y %i %y' "$base" | tr -d '\000'
        printf '\0'
        small "$base.sha256"
        small "images/$name/image-version.txt"
        small "images/$name/$name.build.json"
    done
else
    printf 'no-folder\0'
fi
printf 'end\0'
