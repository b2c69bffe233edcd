# shellcheck shell=bash
# The files of a finished image, images/NAME/: written beside, put in place at once, never half.
# Needs lib/common.sh and lib/sbom.sh; the caller has set IMAGES_DIR.

# versions_json FILE: the lines of image-version.txt as a JSON object.
versions_json() {
    local line out=''
    while IFS= read -r line || [ -n "$line" ]; do
        [[ $line =~ ^([A-Z][A-Z0-9_]*)=([A-Za-z0-9.+~:/_-]*)$ ]] || return 1
        out+=${out:+,}$(json_string "${BASH_REMATCH[1]}"):$(json_string "${BASH_REMATCH[2]}")
    done <"$1"
    printf '{%s}' "$out"
}

# write_record NAME FOLDER SHA256 BUILT_FROM URL DIGEST INPUTS: writes NAME.build.json; INPUTS is a file with the list.
write_record() {
    local versions inputs packages files
    versions=$(versions_json "$2/image-version.txt") || return 1
    inputs=$(inputs_json "$7") || return 1
    packages=$(listed_json "$2/$1.cdx.json") && files=$(listed_json "$2/$1.files.gz") || return 1
    printf '{"schema":1,"image":%s,"sha256":"%s","built_from":%s,"inputs":%s,"base_image":{"url":%s,"digest":%s},"versions":%s,"packages":%s,"files":%s,"boot":%s,"builder":%s,"built_at":"%s"}\n' \
        "$(json_string "$1")" "$3" "$4" "$inputs" "$(json_string "$5")" "$(json_string "$6")" "$versions" "$packages" "$files" "$BOOT_PROOF" \
        "$(builder_json)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$2/$1.build.json"
}

# is_whole NAME: true when the image in place is what its checksum file and its record say, byte for byte.
is_whole() {
    local folder=$IMAGES_DIR/$1 hex file rest list
    [ -f "$folder/$1.qcow2" ] && [ -f "$folder/$1.qcow2.sha256" ] &&
        [ -f "$folder/$1.build.json" ] && [ -f "$folder/image-version.txt" ] || return 1
    read -r hex file rest <"$folder/$1.qcow2.sha256" || return 1
    [ "$file" = "$1.qcow2" ] && [ -z "$rest" ] || return 1
    grep -qF "\"sha256\":\"$hex\"" "$folder/$1.build.json" || return 1
    for list in "packages $1.cdx.json" "files $1.files.gz"; do
        [ -f "$folder/${list#* }" ] || return 1
        grep -qF "\"${list%% *}\":$(listed_json "$folder/${list#* }")" "$folder/$1.build.json" || return 1
    done
    has_digest "$folder/$1.qcow2" "sha256:$hex"
}

# recover_set NAME: finishes or undoes a swap that was cut short. Called with the image's lock held.
recover_set() {
    local previous=$IMAGES_DIR/.previous/$1
    if [ -d "$previous" ]; then
        if [ -e "$IMAGES_DIR/$1" ]; then
            rm -rf -- "$previous"
        else
            mv -T -- "$previous" "$IMAGES_DIR/$1"
        fi
        rmdir -- "$IMAGES_DIR/.previous" 2>/dev/null || true
    fi
}

# put_in_place NAME STAGED: makes the folder STAGED the image's folder. Files of other kinds that somebody keeps
# there move along; parts of the image that was there do not.
put_in_place() {
    local name=$1 staged=$2 target=$IMAGES_DIR/$1 previous=$IMAGES_DIR/.previous/$1 file base
    sync -- "$staged"/* "$staged"/.cache-key "$staged"
    if [ ! -e "$target" ]; then
        mv -T -- "$staged" "$target"
    else
        mkdir -p "$IMAGES_DIR/.previous"
        mv -T -- "$target" "$previous"
        mv -T -- "$staged" "$target"
        for file in "$previous"/* "$previous"/.[!.]*; do
            base=${file##*/}
            [ -e "$file" ] || continue
            case $base in
            "$name".qcow2* | "$name".build.json | "$name".cdx.json | "$name".files.gz | image-version.txt | .cache-key) ;;
            *) mv -n -- "$file" "$target/" ;;
            esac
        done
        rm -rf -- "$previous"
        rmdir -- "$IMAGES_DIR/.previous" 2>/dev/null || true
    fi
    sync -- "$IMAGES_DIR"
}
