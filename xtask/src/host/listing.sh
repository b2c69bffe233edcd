# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR [IMAGE…]` on a build host. Says in NUL-terminated fields what is there: file names
# and small files can hold any other byte.
dir=$1
shift
small() {
    if [ -f "$1" ]; then
        printf '+'
        head -c 65537 "$1" </dev/null | tr -d '\000'
    else
        printf '-'
    fi
    printf '\0'
}
# closed PATH: prints the folder on the way to it that this login may not enter, or itself if it may not be read.
closed() {
    path=$1
    while [ ! -e "$path" ] && [ ! -L "$path" ]; do
        case $path in
        */*) path=${path%/*} ;;
        *) path=. ;;
        esac
        path=${path:-/}
    done
    if [ -d "$path" ]; then
        if [ ! -x "$path" ]; then printf '%s' "$path"; fi
    elif [ "$path" = "$1" ] && [ ! -r "$path" ]; then
        printf '%s' "$path"
    fi
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
        for file in "$base" "$base.sha256" "images/$name/image-version.txt" "images/$name/$name.build.json"; do
            denied=$(closed "$PWD/$file")
            if [ -n "$denied" ]; then
                printf 'unreadable\0%s\0%s\0' "$name" "$denied"
                continue 2
            fi
        done
        [ -f "$base" ] || continue
        printf 'image\0%s\0' "$name"
        stat -L -c '%s %Y %i %y' "$base" </dev/null | tr -d '\000'
        printf '\0'
        small "$base.sha256"
        small "images/$name/image-version.txt"
        small "images/$name/$name.build.json"
    done
else
    denied=$(closed "$dir")
    if [ -n "$denied" ]; then printf 'denied\0%s\0' "$denied"; else printf 'no-folder\0'; fi
fi
printf 'end\0'
