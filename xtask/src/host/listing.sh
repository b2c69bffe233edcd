# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR [IMAGE…]` on a build host. Says in NUL-terminated fields what is there: file names
# and small files can hold any other byte.
dir=$1
shift
small() {
    if [ -f "$1" ]; then
        printf '+'
        head -c 1048577 "$1" | tr -d '\000'
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
# A login script may have said something before.
printf 'packer-listing\0'
if cd "$dir" 2>/dev/null; then
    for engine in build.sh build; do
        if [ -f "$engine" ] && [ -x "$engine" ]; then
            printf 'engine\0%s\0' "$engine"
            if grep -q -e '--force' "$engine"; then printf 'knows\0'; else printf '%s\0' -; fi
            break
        fi
    done
    for file in images/*/*.qcow2; do
        if [ -e "$file" ]; then printf 'file\0%s\0' "$file"; fi
    done
    for name; do
        # Wherever an engine left it, the newest of several. What is over a size can be in parts that a link names.
        newest='' first=''
        # shellcheck disable=SC3013 # dash, bash and busybox have -nt
        for file in images/*/"$name.qcow2"; do
            if [ -f "$file" ]; then
                bytes=$file
            elif [ -L "$file" ] && [ -f "$(written "$file").partaa" ]; then
                bytes=$(written "$file").partaa
            else
                continue
            fi
            if [ -z "$newest" ] || [ "$bytes" -nt "$first" ]; then newest=$file first=$bytes; fi
        done
        [ -n "$newest" ] || continue
        written=$(written "$newest")
        printf 'image\0%s\0%s\0' "$name" "${written##*/}"
        for file in "$newest" "$written".part[a-z][a-z]; do
            # Parts of an image that is there whole as well are another's.
            if [ -f "$file" ] && { [ "$file" = "$newest" ] || [ ! -f "$newest" ]; }; then
                printf 'bytes\0%s\0' "$file"
                stat -L -c '%s %Y %i %y' "$file" | tr -d '\000'
                printf '\0'
            fi
        done
        printf 'small\0'
        if [ -f "$written.sha256" ]; then small "$written.sha256"; else small "$newest.sha256"; fi
        small "${newest%/*}/image-version.txt"
        small "${newest%/*}/$name.build.json"
    done
else
    printf 'no-folder\0'
fi
printf 'end\0'
