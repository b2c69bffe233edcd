# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR [IMAGE…]` on a build host. Says in NUL-terminated fields what is there: file names
# and small files can hold any other byte.
dir=$1
shift
small() {
    if [ -f "$1" ]; then
        printf '+'
        head -c 1048577 "$1" </dev/null | tr -d '\000'
    else
        printf '-'
    fi
    printf '\0'
}
# written LINK: the name that an engine gave the file that the link leads to, in its own folder.
written() {
    if [ -L "$1" ]; then
        target=$(readlink "$1")
        printf '%s/%s' "${1%/*}" "${target##*/}"
    else
        printf '%s' "$1"
    fi
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
        if [ ! -x "$path" ]; then printf '%s' "${path%/}"; fi
    elif [ "$path" = "$1" ] && [ ! -r "$path" ]; then
        printf '%s' "$path"
    fi
}
# is_open PATH…: whether this login may read them, as far as they are there; else says which not, for this image.
is_open() {
    for file; do
        denied=$(closed "$PWD/$file")
        if [ -n "$denied" ]; then
            printf 'unreadable\0%s\0%s\0' "$name" "$denied"
            return 1
        fi
    done
}
if cd "$dir" 2>/dev/null; then
    for engine in build.sh build; do
        if [ -f "$engine" ] && [ -x "$engine" ]; then
            printf 'engine\0%s\0' "$engine"
            # No script is larger, and a host may have any file of that name.
            if head -c 1048576 "$engine" 2>/dev/null </dev/null | grep -q -e '--force'; then printf 'knows\0'; else printf '%s\0' -; fi
            break
        fi
    done
    for file in images/*/*.qcow2; do
        if [ -e "$file" ]; then printf 'file\0%s\0' "$file"; fi
    done
    for name; do
        # The engine's own place first; else wherever it lies, the newest of several. What is over a size can be in parts that a
        # link names. The first one is looked for by name: a folder that a login may enter need not be one that it may list.
        newest='' first='' base=images/$name/$name.qcow2
        # shellcheck disable=SC3013 # dash, bash and busybox have -nt
        for file in "$base" images/*/"$name.qcow2"; do
            case $file in *[!A-Za-z0-9._/-]*) continue ;; esac
            if [ -f "$file" ]; then
                bytes=$file
            elif [ -L "$file" ] && [ -f "$(written "$file").partaa" ]; then
                bytes=$(written "$file").partaa
            else
                continue
            fi
            if [ "$newest" = "$base" ]; then
                [ "$file" = "$base" ] || printf 'other\0%s\0%s\0' "$name" "$file"
            elif [ -z "$newest" ]; then
                newest=$file first=$bytes
            elif [ "$bytes" -nt "$first" ]; then
                printf 'other\0%s\0%s\0' "$name" "$newest"
                newest=$file first=$bytes
            else
                printf 'other\0%s\0%s\0' "$name" "$file"
            fi
        done
        if [ -z "$newest" ]; then
            # It may lie where this login can't look.
            is_open "$base" images/*/"$name.qcow2" images/*/
            continue
        fi
        written=$(written "$newest") folder=${newest%/*}
        if [ -f "$newest" ]; then
            # Parts of an image that is there whole as well are another's.
            set -- "$newest"
        else
            set -- "$written".part[a-z][a-z]
        fi
        if [ -e "$written.sha256" ]; then checksum=$written.sha256; else checksum=$newest.sha256; fi
        is_open "$@" "$checksum" "$folder/image-version.txt" "$folder/$name.build.json" || continue
        printf 'image\0%s\0%s\0' "$name" "${written##*/}"
        for file; do
            printf 'bytes\0%s\0' "$file"
            stat -L -c '%s %Y %i %y' "$file" </dev/null | tr -d '\000'
            printf '\0'
        done
        printf 'small\0'
        small "$checksum"
        small "$folder/image-version.txt"
        small "$folder/$name.build.json"
        # What an engine's own cache compares: a SHA-256 where it is upstream's.
        key=$(head -c 64 "$folder/.cache-key" 2>/dev/null </dev/null | tr -dc 0-9a-f)
        if [ ${#key} -eq 64 ]; then printf 'cache-key\0%s\0%s\0' "$name" "$key"; fi
    done
else
    denied=$(closed "$dir")
    if [ -n "$denied" ]; then printf 'denied\0%s\0' "$denied"; else printf 'no-folder\0'; fi
fi
printf 'end\0'
