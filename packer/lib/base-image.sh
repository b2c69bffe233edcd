# shellcheck shell=bash
# Finding out what a base image is, and getting it. Needs lib/common.sh.

# Seconds to connect, and seconds that a small file may take in all.
: "${CONNECT_TIMEOUT:=15}" "${SMALL_FILE_TIMEOUT:=60}"

# Bytes that a small file may have, and a base image: a server that sends without end fills no disk.
: "${SMALL_FILE_LIMIT:=1048576}" "${BASE_IMAGE_LIMIT:=17179869184}"

# curl_config URL: how curl is told a URL. It may hold a password: arguments are for all to see, a configuration isn't. No redirect
# leads from https to where everybody on the way can answer.
curl_config() {
    local url=$1 redirects=http,https
    if [[ $url == *[[:cntrl:]]* ]]; then
        echo "a URL has a control character" >&2
        return 1
    fi
    [[ ${url,,} != https:* ]] || redirects=https
    url=${url//\\/\\\\}
    printf 'url = "%s"\nproto = "=http,https"\nproto-redir = "=%s"\n' "${url//\"/\\\"}" "$redirects"
}

# read_url URL: prints a small file.
read_url() {
    local path config
    path=$(local_path "$1")
    config=$(curl_config "$1") || return
    if [ -n "$path" ]; then
        cat -- "$path"
    else
        curl -fsSL --connect-timeout "$CONNECT_TIMEOUT" --max-time "$SMALL_FILE_TIMEOUT" -K - <<<"$config"
    fi | at_most "$SMALL_FILE_LIMIT"
}

# said: what a program ended with, of standard input. curl and at_most say it in no order.
said() {
    tail -n 2 | paste -sd ' '
}

# at_most BYTES: passes on standard input, and fails where it has more.
at_most() {
    head -c "$1"
    [ "$(head -c 1 | wc -c)" -eq 0 ] || {
        echo "it has more than $1 bytes" >&2
        return 1
    }
}

# digest_with_algorithm HEX: sha512:HEX or sha256:HEX, by length; nothing for what is neither.
digest_with_algorithm() {
    local hex=${1,,}
    [[ $hex =~ ^[0-9a-f]+$ ]] || return 1
    case ${#hex} in
    128) printf 'sha512:%s\n' "$hex" ;;
    64) printf 'sha256:%s\n' "$hex" ;;
    *) return 1 ;;
    esac
}

# digest_in_list FILE_NAME: reads the lines of sha512sum or sha256sum, prints the digest of that file.
digest_in_list() {
    local hex
    hex=$(awk -v name="$1" '
        { file = $2; sub(/^\*/, "", file); sub(/^\.\//, "", file) }
        file == name { print $1; exit }
    ')
    digest_with_algorithm "$hex"
}

# file_digest PATH
file_digest() {
    local line
    line=$(sha512sum -- "$1") || return 1
    # sha512sum marks a name that it had to escape.
    line=${line#\\}
    digest_with_algorithm "${line%% *}"
}

# base_image_digest URL CHECKSUM: prints the digest that the image at URL must have. CHECKSUM is
# sha512:HEX, sha256:HEX, file:URL of a list of digests, or empty for the list beside the image. For a local
# image that no list names, the digest is computed from the image itself.
base_image_digest() {
    local url=$1 checksum=$2 list path
    case $checksum in
    sha512:* | sha256:*)
        digest_with_algorithm "${checksum#*:}" | grep -x "${checksum,,}" && return 0
        complain "not a digest: $checksum"
        return 1
        ;;
    file:*)
        list=${checksum#file:}
        [ "${list#//}" = "$list" ] || list=file:$list
        ;;
    '') list=${url%/*}/SHA512SUMS ;;
    *)
        complain "not a checksum: $checksum (sha512:<hex>, sha256:<hex> or file:<URL of a SHA512SUMS>)"
        return 1
        ;;
    esac
    path=$(local_path "$url")
    if [ -n "$path" ] && [ ! -f "$path" ]; then
        complain "no base image at $path"
        return 1
    fi
    if [ -z "$checksum" ] && [ -n "$path" ] && [ ! -f "${path%/*}/SHA512SUMS" ]; then
        file_digest "$path"
        return
    fi
    local sums status=0
    sums=$(read_url "$list" 2>&1) || status=$?
    if [ "$status" -ne 0 ]; then
        complain "cannot read $(without_password "$list"): $(said <<<"${sums:-exit $status}")"
        return 1
    fi
    if ! digest_in_list "${url##*/}" <<<"$sums"; then
        complain "$(without_password "$list") has no digest for ${url##*/}"
        return 1
    fi
}

# base_image_version URL: the version of the base image where it can be told, else nothing. Debian
# puts it in the folder's name (20250703-2162), or, under latest/, into a .json beside the image.
base_image_version() {
    local url=$1 description
    if [[ $url =~ /([0-9]{8}-[0-9]+)/ ]]; then
        printf '%s\n' "${BASH_REMATCH[1]}"
        return
    fi
    description=$(read_url "${url%.*}.json" 2>/dev/null) || return 0
    if [[ $description =~ \"version\"[[:space:]]*:[[:space:]]*\"([0-9A-Za-z][0-9A-Za-z._+-]*)\" ]]; then
        printf '%s\n' "${BASH_REMATCH[1]}"
    fi
}

# base_image_folders URL: the dated folders beside the folder `latest` of URL, newest first.
base_image_folders() {
    local parent=${1%/latest/*} path
    path=$(local_path "$parent/")
    if [ -n "$path" ]; then
        ls -- "$path" 2>/dev/null
    else
        read_url "$parent/" 2>/dev/null
    fi | grep -oE '[0-9]{8}-[0-9]+' | sort -ru
}

# dated_url URL DIGEST: the same base image where it stays: Debian keeps what `latest` is today in a dated folder, whose
# list has the same digest. URL itself where there is none, or URL names no `latest`.
dated_url() {
    local url=$1 hex=${2#*:} folder file tries=0
    local sums=${2%%:*}
    if [[ $url == */latest/* ]]; then
        while IFS= read -r folder; do
            # The newest is all but always the one.
            tries=$((tries + 1))
            [ "$tries" -le 5 ] || break
            file=$(SMALL_FILE_TIMEOUT=20 read_url "${url%/latest/*}/$folder/${sums^^}SUMS" 2>/dev/null |
                awk -v hex="$hex" 'tolower($1) == hex { sub(/^[*]/, "", $2); sub(/^[.]\//, "", $2); print $2; exit }')
            [[ $file =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] || continue
            printf '%s\n' "${url%/latest/*}/$folder/$file"
            return
        done < <({ base_image_version "$url"; base_image_folders "$url"; } | awk '/^[0-9]+-[0-9]+$/ && !seen[$0]++')
    fi
    printf '%s\n' "$url"
}

# obtain_base_image URL DIGEST: sets BASE_IMAGE_FILE to a local file with that digest. Downloads are kept
# in .cache/base under their digest; one that was interrupted goes on where it stopped.
obtain_base_image() {
    local url=$1 digest=$2 kept status=0
    BASE_IMAGE_FILE=$(local_path "$url")
    if [ -n "$BASE_IMAGE_FILE" ]; then
        if ! has_digest "$BASE_IMAGE_FILE" "$digest"; then
            complain "$BASE_IMAGE_FILE does not have the digest $digest"
            return 1
        fi
        return
    fi
    mkdir -p "$PACKER_DIR/.cache/base" || return
    kept=$PACKER_DIR/.cache/base/${digest#*:}
    BASE_IMAGE_FILE=$kept.qcow2
    # Two images can share a base: the second waits for the first one's download.
    exec 8>"$kept.lock"
    run_child flock 8 || return
    [ -f "$kept.qcow2" ] || download_base_image "$url" "$digest" "$kept" || status=$?
    exec 8>&-
    [ "$status" -eq 0 ] || return "$status"
    touch -c -- "$kept.qcow2"
    # Bases that no build has used for a month.
    find "$PACKER_DIR/.cache/base" -type f -mtime +30 -delete
}

# download_base_image URL DIGEST FILE: into FILE.part, then FILE.qcow2.
download_base_image() {
    local shown status=0
    shown=$(without_password "$1")
    say "downloading $shown"
    curl_config "$1" >"$WORK/curl.conf" || return 1
    # A server that refuses to go on (33, 36, and 22 for a part that is whole) leaves it to the digest.
    run_logged prlimit --fsize="$BASE_IMAGE_LIMIT" -- curl -fL --no-progress-meter --connect-timeout "$CONNECT_TIMEOUT" --retry 3 \
        --speed-limit 1000 --speed-time 60 -C - -o "$3.part" -K "$WORK/curl.conf" || status=$?
    if [ -f "$3.part" ] && has_digest "$3.part" "$2"; then
        sync -- "$3.part" && mv -f -- "$3.part" "$3.qcow2"
        return
    fi
    if [ -f "$3.part" ] && [ "$(stat -c %s -- "$3.part")" -ge "$BASE_IMAGE_LIMIT" ]; then
        rm -f -- "$3.part"
        complain "$shown has more than $BASE_IMAGE_LIMIT bytes, the limit for a base image" "raise the limit with BASE_IMAGE_LIMIT"
        return 1
    fi
    # A transfer that ended early goes on next time; one that was complete, and yet differs, starts again.
    if [ "$status" -ne 0 ] && [ -s "$3.part" ]; then
        complain "cannot download $shown (curl's exit code $status)" "try again: the download continues where it stopped"
    elif [ "$status" -ne 0 ]; then
        complain "cannot download $shown (curl's exit code $status)" "check the network, and that the address is right"
    else
        rm -f -- "$3.part"
        complain "the download from $shown does not have the digest $2" "if the mirror is being updated, try again in some minutes"
    fi
    return 1
}

# has_digest FILE DIGEST
has_digest() {
    local tool=${2%%:*}sum out
    out=$WORK/digest
    run_child "$tool" -- "$1" >"$out" || return 1
    local line
    read -r line <"$out"
    line=${line#\\}
    [ "${line%% *}" = "${2#*:}" ]
}
