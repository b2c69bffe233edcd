# shellcheck shell=bash
# How large an image may get, and whether there is room to make it. Needs lib/common.sh.

# read_limits NAME: sets MAX_SIZE, in bytes, from the template's file `limits`, of lines NAME = value; empty without one.
read_limits() {
    local file=$PACKER_DIR/templates/$1/limits line value
    MAX_SIZE=
    [ -e "$file" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        line=${line%$'\r'}
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        if ! [[ $line =~ ^[[:space:]]*max_size[[:space:]]*=[[:space:]]*([1-9][0-9]*[KMGT]?)[[:space:]]*(#.*)?$ ]]; then
            complain "$1: limits: not a limit: $line" "write for example: max_size = 2G"
            return 1
        fi
        value=${BASH_REMATCH[1]}
        MAX_SIZE=$(numfmt --from=iec "$value") || return 1
    done <"$file"
}

# megabytes BYTES: for people.
megabytes() {
    echo "$((($1 + 524288) / 1048576)) MiB"
}

# check_size NAME FILE: warns at nine tenths of the limit, fails above it.
check_size() {
    local size
    size=$(stat -c %s -- "$2") || return
    [ -n "$MAX_SIZE" ] || return 0
    if [ "$size" -gt "$MAX_SIZE" ] && [ -n "$ALLOW_LARGE" ]; then
        complain "warning: $1 has $(megabytes "$size"), above the limit of $(megabytes "$MAX_SIZE"), as --allow-large allows"
    elif [ "$size" -gt "$MAX_SIZE" ]; then
        complain "$1 has $(megabytes "$size"), above the limit of $(megabytes "$MAX_SIZE") in templates/$1/limits" \
            "find out what grew; to accept the image: ./build.sh --allow-large $1"
        return 1
    elif [ "$size" -gt $((MAX_SIZE * 9 / 10)) ]; then
        complain "warning: $1 has $(megabytes "$size"), close to the limit of $(megabytes "$MAX_SIZE") in templates/$1/limits"
    fi
}

# require_room NAME: a build holds the disk as packer writes it, the compressed image and the overlays of its boots beside the
# image that is there: about three times the image or, before there is one, the base.
require_room() {
    local size=0 file bytes free folder
    for file in "$IMAGES_DIR/$1/$1.qcow2" "$BASE_IMAGE_FILE"; do
        bytes=$(stat -L -c %s -- "$file" 2>/dev/null) || continue
        [ "$bytes" -le "$size" ] || size=$bytes
    done
    size=$((3 * size + 1024 * 1024 * 1024))
    for folder in "$WORK" "$IMAGES_DIR"; do
        free=$(df --output=avail -B1 -- "$folder" 2>/dev/null | tail -n 1 | tr -dc 0-9) || free=
        if [ -z "$free" ] || [ "$free" -ge "$size" ]; then
            continue
        fi
        complain "$1: a build needs about $(megabytes "$size"), and $(megabytes "$free") are free for $folder" \
            "make room; what no build needs: old logs in $PACKER_DIR/logs, bases in $PACKER_DIR/.cache/base"
        return "$EXIT_MISSING"
    done
}
