#!/bin/sh
# Fetches homestak's images from a release. A file takes its name when all of its bytes were checked, and not before.
# Needs a POSIX shell with the usual tools, curl or wget, and sha256sum or shasum; for signatures, ssh-keygen.
# What it keeps in DIR, beside NAME.qcow2 and NAME.qcow2.sha256:
#   .NAME.incomplete-DIGEST        what has arrived of the image with this digest: checked pieces, and a beginning of the next
#   .NAME.incomplete-DIGEST.at     "BYTES PIECES": how much of it was checked
#   .NAME.incomplete-DIGEST.piece  wget alone: a beginning of the next piece
#   .NAME.lock/beat                "RUN COUNT": the run that fetches NAME counts each second. If the count does not
#                                  change for 10 s, its run died; this works across containers and restarts.
#   .images-seen                   "REPOSITORY CREATED SOURCE": the last signed set that was taken from `latest`
#   .get-images.XXXXXX             a small file before it takes its name
# A killed run leaves these files, and the next run continues from them.
# shellcheck disable=SC2012,SC2015,SC2046,SC2086,SC3040,SC3045 # words are split and asked for on purpose, calls tried
set -eu
export LC_ALL=C
umask 022
# Or bash's `ulimit -f` counts in other units.
[ -z "${BASH_VERSION-}" ] || set -o posix
usage() {
    cat <<'USAGE'
usage: get-images.sh [OPTION…] [IMAGE…]

Without IMAGE, list the images on the release.
  --all                   all images
  --dir DIR               download to this folder (default: the current folder)
  --force                 replace a local image that differs
  --set VERSION           download the set that was published for VERSION, such as v0.44
  --older                 accept a signed set that is older than the last one downloaded to DIR
  --tag TAG               download from this release (default: latest)
  --repo OWNER/NAME       download from this repository (default: homestak-dev/packer)
  --url URL               download from this URL instead of a GitHub release
  --allowed-signers FILE  check the signature against the keys in FILE (default: allowed_signers beside this script)
  --verify-signature      fail unless SHA256SUMS is signed by a key in that file
Run the same command again to continue an interrupted download.
Exit codes: 0 done, 1 failed, 2 usage, 3 something is missing, 4 a digest or a signature is wrong.
USAGE
}
note() {
    { [ ! -t 2 ] || printf '\r\033[K'; printf 'get-images.sh: %s\n' "$*"; } >&2
}
# fail CODE WORDS…
fail() {
    exit_code=$1 && shift && note "$*"
    [ "$exit_code" -ne 2 ] || usage >&2
    exit "$exit_code"
}

all=false force=false older=false must_be_signed=false dir=. tag=latest url='' signers='' set='' names='' typed=''
repo=${HOMESTAK_PACKER_REPO:-homestak-dev/packer}
while [ $# -gt 0 ]; do
    case $1 in
        --dir | --tag | --repo | --url | --allowed-signers | --set)
            [ -n "${2-}" ] || fail 2 "$1 needs a value"
            case $1 in --dir) dir=$2 ;; --tag) tag=$2 ;; --repo) repo=$2 ;; esac
            case $1 in --url) url=${2%/} ;; --set) set=$2 ;; --allowed-signers) signers=$2 ;; esac
            typed="$typed $1 '$(printf %s "$2" | sed "s/'/'\\\\''/g")'" && shift ;;
        --all) all=true ;;
        --force) force=true ;;
        --older) older=true ;;
        --list) ;;
        --verify-signature) must_be_signed=true ;;
        -h | --help) usage && exit ;;
        -*) fail 2 "unknown option: $1" ;;
        *[!A-Za-z0-9._-]* | "" | .*) fail 2 "not a valid image name: $1" ;;
        *) names="$names ${1%.qcow2}" ;;
    esac
    shift
done
case $tag$set in *[!A-Za-z0-9._+-]*) fail 2 "not a valid release name: $tag $set" ;; esac
[ -z "$set" ] || [ "$tag" = latest ] || fail 2 "--set and --tag both name a release; give one of them"
case $dir in -*) dir=./$dir ;; esac
origin=${url:-$repo} url=${url:-"https://github.com/$repo/releases/download/$tag"}
# No redirect leads from https to http.
case $url in https://*) secure='--proto-redir =https' ;; http://*) secure='' ;; *) fail 2 "not an http or https URL: $url" ;; esac
has() { command -v "$1" >/dev/null 2>&1; }
if has curl; then client=curl; else client=wget; fi
has $client || fail 3 "neither curl nor wget is installed; install one of them"
if has sha256sum; then hasher=sha256sum; else hasher="shasum -a 256"; fi
has "${hasher%% *}" || fail 3 "neither sha256sum nor shasum is installed; install one of them"
work=$(mktemp -d) || fail 1 "cannot create a temporary folder"
run=${work##*.}-$$ lock='' minder='' fresh=''
leave() {
    stop
    [ -z "$minder" ] || kill "$minder" 2>/dev/null || :
    unlock
    rm -rf "$work" "$fresh"
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'fail 1 "another run took the lock $lock while this run was suspended; run this command again"' USR1

# --- What takes long runs in the background, where a signal is heeded at once; await is for what was started last.
await() {
    echo "$!" >"$work/pid"
    code=0
    wait "$!" 2>/dev/null || code=$?
    rm -f "$work/pid"
    return "$code"
}
stop() { [ ! -s "$work/pid" ] || kill "$(cat "$work/pid")" 2>/dev/null || :; }
snooze() { sleep "$1" >/dev/null 2>&1 & await || :; }
# mind: each second it counts in the lock, and looks for what no other process checks: that this process is dead while its
# client lives, that the lock is another run's, that bytes came more slowly than 1 KiB/s for half a minute.
mind() {
    trap - EXIT HUP INT TERM USR1
    count=0 number='' seconds=0 from=0
    while sleep 1 2>/dev/null; do
        # A zombie takes signals as well.
        { kill -0 $$ 2>/dev/null && { [ "$own" != $$ ] || [ -e /proc/$$/exe ]; }; } || { stop && rm -rf "$work" && exit; }
        count=$((count + 1))
        [ ! -s "$work/lock" ] || (cd "$(cat "$work/lock")" && grep -q "^$run " beat && echo "$run $count" >beat) 2>/dev/null ||
            [ ! -s "$work/lock" ] || kill -USR1 $$
        { [ -s "$work/transfer" ] && read -r file <"$work/transfer" && read -r transfer <"$work/pid"; } 2>/dev/null || continue
        now=$(size "$file")
        [ ! -t 2 ] || [ "$now" -lt 1048576 ] || { name=${file##*/} && printf '\r%s: %s MiB\033[K' "${name#.}" "$((now / 1048576))" >&2; }
        [ "$number" = "$transfer" ] || number=$transfer seconds=0 from=$now
        [ "$((seconds += 1))" -gt 30 ] || continue
        [ $((now - from)) -ge 30720 ] || { echo "curl: less than 1 KiB/s" >>"$work/said" && stop; }
        seconds=1 from=$now
    done
}
take_lock() {
    theirs=$dir/.$image.lock still=0 before=
    until mkdir "$theirs" 2>"$work/said"; do
        beat=$([ ! -f "$theirs/beat" ] || head -c 99 "$theirs/beat") || :
        [ "$still" -gt 0 ] || before=$beat
        [ ! -d "$theirs" ] || [ "$beat" = "$before" ] || fail 1 "another run is downloading $image to $dir; wait until that run ends"
        [ "$still" -ne 1 ] || note "another run is downloading $image to $dir, or has died; watching its lock for 10 s"
        [ "$still" -lt 10 ] || rm -rf "$theirs" 2>/dev/null || :
        [ "$still" -lt 12 ] || fail 1 "cannot create a lock; remove $theirs: $(words)"
        snooze 1 && still=$((still + 1))
    done
    { echo "$run 0" >"$theirs/beat" && echo "$theirs" >"$work/lock"; } || fail 1 "$theirs can't be written to"
    # Of two that found a lock left behind, the last one has it.
    [ "$still" -lt 10 ] || snooze 2
    lock=$theirs && grep -q "^$run " "$theirs/beat" 2>/dev/null || fail 1 "another run is downloading $image to $dir; wait until that run ends"
}
unlock() {
    rm -f "$work/lock" # Then the counter stops, after a moment.
    [ -z "$lock" ] || ! grep -q "^$run " "$lock/beat" 2>/dev/null || rm -rf "$lock" 2>/dev/null || { sleep 1 && rm -rf "$lock"; }
    lock=
}

# --- Files, and words from outside: plain leaves out what a terminal obeys, words are the last that a program said.
size() { if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi; }
cut_to() { dd if=/dev/null of="$1" bs=1 seek="$2" 2>/dev/null; }
plain() { tr -d '\r' | tr -c '[:print:]\n' '?'; }
words() { { grep '^curl: ' "$work/said" || grep . "$work/said" || echo "no answer"; } 2>/dev/null | tail -n 1 | plain; }
# digest FILE [BASE]: sets $found to that of all its bytes, or of those behind the first ones.
digest() {
    { tail -c "+$((${2:-0} + 1))" "$1" || echo unread >"$work/unread"; } 2>/dev/null | $hasher >"$work/digest" &
    { await && found=$(cut -c 1-64 "$work/digest"); } || found=
    { [ ${#found} -eq 64 ] && [ ! -e "$work/unread" ]; } || fail 1 "reading $1 failed, or there is no room in $work"
}
# put FILE LINES: the file takes its name whole, and a link there is replaced. Some file systems know no modes.
put() {
    [ ! -d "$1" ] || fail 1 "$1 is a folder; move it away"
    { fresh=$(mktemp "$dir/.get-images.XXXXXX") && printf '%s\n' "$2" >"$fresh"; } || fail 1 "writing $1 failed; is there room in $dir?"
    { chmod 644 "$fresh" 2>/dev/null || :; } && mv -f "$fresh" "$1" || fail 1 "writing $1 failed"
}
# ours FILE: it is no link, has one name, and is owned as the lock is.
kind() { ls -dln "$1" 2>/dev/null | tr -s ' ' | cut -d ' ' -f 1-3; }
ours() { mine=$(kind "$lock") && case $(kind "$1") in -*" 1 ${mine##* }") ;; *) return 1 ;; esac; }

# --- The network. A person's own settings hold where they say how a server is reached; others add bytes, or misplace them.
home=${HOME:-/nowhere}
for file in "${CURL_HOME:-$home}/.curlrc" "${XDG_CONFIG_HOME:-$home}/curlrc" "$home/.curlrc" "$home/.config/curlrc" /dev/null; do [ ! -r "$file" ] || break; done
how='(pre|no)?proxy|socks|ca|cert|key|pass|insecure|.*socket|resolve|connect-to|interface|local-port|dns|doh|ipv|netrc|user-agent|limit|tls|ssl|http[0-9]'
grep -E "^[[:space:]]*(-[xUkEAn46]|(--)?($how))" "$file" >"$work/curlrc" 2>/dev/null || :
how='.*proxy|ca_?|.*certificate|private_?key|bind|inet|prefer|user_?agent|limit_?rate|secure|ciphers'
grep -Ei "^[[:space:]]*($how)" "${WGETRC:-$home/.wgetrc}" >"$work/wgetrc" 2>/dev/null || :
case $(wget --version 2>/dev/null | head -n 1) in
    *Wget2*) patience="-T 60 -t 1 --config=$work/wgetrc" ;;
    *GNU*) patience="-nv -T 60 -t 1" ;;
    *) patience= ;; # BusyBox's has other options, and one of Debian 12 ends with a fault when it is given a time limit.
esac
# ask ADDRESS [OPTION…]: its bytes, to standard output unless an option of wget says otherwise.
ask() {
    address=$1 && shift
    case $client in
        curl) exec curl -q -K - -vsSfL $secure --connect-timeout 30 "$@" "$address" <"$work/curlrc" ;;
        wget) WGETRC=$work/wgetrc exec wget -S $patience "$@" "$address" ;;
    esac
}
# onto ADDRESS FILE BASE LIMIT: what is missing of ADDRESS, LIMIT bytes at most, behind the first BASE bytes of FILE.
onto() {
    file=$2 base=$3
    # wget goes on only with a file that has nothing else: a piece gets one of its own, until it is whole.
    [ "$client" = curl ] || [ "$base" -eq 0 ] || { cut_to "$file" "$base" && file=$2.piece base=0; }
    had=$(($(size "$file") - base))
    echo "$file" >"$work/transfer"
    (
        ulimit -c 0 2>/dev/null || :
        ulimit -f $(((base + $4) / 512 + 1)) 2>/dev/null || :
        [ "$client" = curl ] || ask "$1" -c -O "$file" >&2
        [ "$had" -eq 0 ] || ask "$1" -r "$had-" >>"$file"
        ask "$1" >>"$file"
    ) 2>"$work/said" &
    await || :
    rm -f "$work/transfer"
    # What a proxy says to CONNECT is not the server's.
    status=$(sed -nE -e '/^> CONNECT/,/^> GET/d' -e 's/^(< | *|.*error: )HTTP[^ ]* ([0-9]+).*/\2/p' "$work/said" | tail -n 1)
    begins=$(sed -n 's/^< [Cc]ontent-[Rr]ange: bytes \([0-9]*\)-.*/\1/p' "$work/said" | tail -n 1)
    [ -z "$secure" ] || ! grep -Eiq '^ *location: http:' "$work/said" || fail 1 "$1 redirects from https to http; refused"
    # 416: all of it is here. 200 in place of 206: it begins at the start.
    [ "$client" = wget ] || [ "$had" -eq 0 ] || case $status:$begins in
        416:*) code=0 ;;
        206: | 206:"$had") ;;
        20*) cut_to "$file" "$base" && return 1 ;;
    esac
    now=$(($(size "$file") - base))
    if [ "$now" -ge "$4" ]; then
        cut_to "$file" "$((base + $4))" && code=0
    elif case $client$code in curl23 | wget3 | *153) ;; *) grep -Eiq '^wget: .*(write|space|quota)' "$work/said" ;; esac then
        fail 1 "writing $file failed: $(words); free some space there, then run this again to continue"
    elif [ "$client$status" = wget200 ] && [ "$code" -ne 0 ] && [ "$now" -le "$had" ]; then
        rm -f "$file"
    fi
    [ "$code" -eq 0 ] || return "$code"
    [ "$file" = "$2" ] || { cat "$file" >>"$2" && rm -f "$file"; } || fail 1 "writing $2 failed; free some space there"
}
# get NAME LIMIT [ADDRESS]: a small file, into the work folder. 1: there is none.
get() {
    attempt=1 place=${3:-"$url/$1"}
    rm -f "$work/$1"
    until : >>"$work/$1" && onto "$place" "$work/$1" 0 "$2"; do
        rm -f "$work/$1"
        case $status in 404 | 410) return 1 ;; esac
        [ "$attempt" -lt 3 ] || fail 1 "fetching $place: $(words)"
        snooze "$attempt" && attempt=$((attempt + 1))
    done
    [ "$(size "$work/$1")" -lt "$2" ] || fail 1 "$place is too large: $2 bytes or more"
}

# --- What SHA256SUMS and the manifest say. named PATTERN: the files whose names fit all of it, with their digests.
named() { grep -E "^[0-9a-f]{64}  $1\$" "$work/SHA256SUMS" || :; }
exactly() { printf '%s' "$1" | sed 's/\./\\./g'; }
promised() { named "$(exactly "$1")" | head -n 1 | cut -c 1-64; }
images() { named '[A-Za-z0-9_][A-Za-z0-9._-]*\.qcow2' | cut -c 67- | sed 's/\.qcow2$//' | sort -u; }
# pieces IMAGE: its parts as they are joined, or its own name when it is whole.
pieces() { parts=$(named "$(exactly "$1")\.qcow2\.part[a-z]{2,}" | cut -c 67- | sort) && echo "${parts:-$1.qcow2}"; }
# manifest: fetches it. field NAME: what it says of the set. bytes FILE: how many the file has.
manifest() { get packer-images.json 16777216 || : >"$work/packer-images.json"; }
field() { sed -n 's/^  "'"$1"'": "\([A-Za-z0-9._+:-]*\)",*$/\1/p' "$work/packer-images.json" | head -n 1; }
bytes() { sed -n '/"file": "'"$(exactly "$1")"'"/{n;s/^ *"size": \([0-9]\{1,15\}\),*$/\1/p;}' "$work/packer-images.json" | head -n 1; }
# has_set URL: the checksums there are those that were read.
has_set() { get again 1048577 "$1/SHA256SUMS" && [ "$(cat "$work/again")" = "$(cat "$work/SHA256SUMS")" ]; }
# read_set: the set that is there now, and who signed it.
read_set() {
    round=1 doubt=none
    while [ -n "$doubt" ]; do
        get SHA256SUMS 1048577 || fail 3 "no SHA256SUMS at $url: nothing is published there, or an older tool published it; in that case download NAME.qcow2 and NAME.qcow2.sha256, and run sha256sum -c"
        [ -n "$(named '.*')" ] || fail 1 "$url/SHA256SUMS is not a list of digests; does this network show a login page instead?"
        manifest
        source=$(field source) created=$(field created) who='' doubt=''
        check_signature
        digest "$work/packer-images.json"
        case $(promised packer-images.json) in '') created='' ;; "$found") ;; *) doubt=${doubt:-"the manifest is not the one in SHA256SUMS"} ;; esac
        [ -n "$(images)" ] || doubt=${doubt:-"SHA256SUMS at $url names no image"}
        [ "${set:-$source}" = "$source" ] || doubt=${doubt:-"$url has the set of ${source:-no version}, not of $set"}
        # Or it was replaced between two of these files.
        [ -z "$doubt" ] || ! has_set "$url" || fail 4 "$doubt; nothing was fetched"
        [ "$((round += 1))" -lt 5 ] || fail 1 "$url changes while it is read; run this again"
    done
    [ -z "$who" ] || echo "signed by $who" >&2
}
# keygen WORDS…: ssh-keygen with these checksums and their signature. One that can't check any is as good as none.
keygen() {
    result=0 && ssh-keygen -Y "$@" -s "$work/SHA256SUMS.sig" <"$work/SHA256SUMS" >"$work/found" 2>"$work/said" || result=$?
    { [ "$result" -lt 126 ] || [ "$result" -eq 255 ]; } &&
        ! grep -Eiq '(unknown|illegal|invalid|unrecognized) option|unsupported operation|^usage:' "$work/said" || able=false
    return "$result"
}
signed_by() { name=$1 && keygen verify -f "$signers" -n file -I "$1" && who=$(printf %s "$1" | plain); }
check_signature() {
    here=$(dirname "$0")/allowed_signers able=true name='its signer'
    # A file that lists no signer requires no signature.
    [ -n "$signers" ] || { [ ! -e "$here" ] && [ ! -h "$here" ]; } || { [ -f "$here" ] && ! grep -Eqav '^[[:space:]]*(#|$)' "$here"; } || signers=$here
    if [ -n "$signers" ]; then
        { [ -f "$signers" ] && [ -r "$signers" ]; } || fail 3 "$signers, which says who may sign, can't be read"
    elif $must_be_signed; then
        fail 3 "no allowed_signers file says who may sign; get the file from the repository, from a source that you trust, and name it with --allowed-signers"
    fi
    if ! get SHA256SUMS.sig 65536; then
        [ -z "$signers" ] || doubt="SHA256SUMS is not signed, but $signers lists signers"
        return 0
    elif [ -z "$signers" ]; then
        # The key is unknown, but a signature of another file still shows.
        ! keygen check-novalidate -n file || echo "signed by an unknown key (no allowed_signers file here lists it): $(sed -n 's/.* key //p' "$work/found" | plain)" >&2
        [ "$result" -eq 0 ] || ! $able || doubt="the signature does not match SHA256SUMS: one of the two files was changed ($(words))"
        return 0
    fi
    # A key may stand there several times, and ssh-keygen finds the first alone.
    sed -nE 's/^[[:space:]]*"?([^"#[:space:],]+).*/\1/p' "$signers" >"$work/names"
    while read -r line && ! signed_by "$line"; do :; done <"$work/names"
    [ -n "$who" ] || { keygen find-principals -f "$signers" && signed_by "$(head -n 1 "$work/found")"; } || :
    [ -z "$who" ] || return 0
    $able || fail 3 "the ssh-keygen here can't check signatures ($(words)); install openssh-client 8.2 or newer"
    reason=$(sed -n 's/^.*:\([0-9][0-9]*: .*\)/line \1/p' "$work/said" | head -n 1 | plain)
    case $(cat "$work/said") in
        *expired* | *"not yet valid"* | *"not permitted"*) doubt="SHA256SUMS is signed by a key that $signers does not allow to sign it: $reason" ;;
        *armor* | *"parse signature"*) doubt="SHA256SUMS.sig is not a signature: $(words)" ;;
        *"No principal"*) doubt="SHA256SUMS is signed by a key that is not in $signers${reason:+ ($reason)}" ;;
        *) doubt="SHA256SUMS is not what $(printf %s "$name" | plain) signed: $(words)" ;;
    esac
}
# choose_set: leads $url to the release with the set that was published for $set.
choose_set() {
    manifest
    live=$(field source) pinned=${url%/latest}/images-$set
    [ "$live" != "$set" ] || return 0
    ! get pinned 1048577 "$pinned/SHA256SUMS" || { url=$pinned && return 0; }
    # What `latest` stands for is in its release's text alone.
    api=$(echo "${url%/releases/download/latest}" | sed -e 's,//[^/]*/,&api/v3/repos/,' -e 's,//github.com/api/v3/,//api.github.com/,')
    label=$(get release 1048577 "$api/releases/tags/latest" 2>/dev/null && sed -n 's/.*packer-label {\\"source\\": *\\"\([^"\\]*\)\\".*/\1/p' "$work/release") || label=
    [ "$label" != "$set" ] || fail 3 "no set was built for $set: \`latest\` stands for $set${live:+, with the set of $live}; leave out --set"
    fail 3 "there is no set of $set: \`latest\` has the set of ${live:-an unknown version}, and there is no release images-$set with SHA256SUMS"
}
# not_older: a signed set of `latest` is no older than the last one that this folder took from there.
not_older() {
    { [ -n "$who" ] && [ -n "$created" ] && [ "$set$tag" = latest ]; } || return 0
    history=$dir/.images-seen line="^$(exactly "$origin") "
    before=$(grep "$line" "$history" 2>/dev/null | tail -n 1 | plain) || before=
    before=${before#"$origin "}
    [ "${before%% *}" = "$created" ] || $older || [ "$(printf '%s\n' "$before" "$created" | sort | tail -n 1)" = "$created" ] ||
        fail 4 "\`latest\` went from ${before#* } (${before%% *}) back to $source ($created): the maintainers rolled back, or somebody put an old set back; --older accepts it"
    [ "$before" = "$created $source" ] || put "$history" "$({ grep -v "$line" "$history" || :; } 2>/dev/null && echo "$origin $created $source")"
}
# follow: where the set is that was read. 0: where it was; 7: $url leads there now; 9: nowhere, so begin with the new one.
follow() {
    ! has_set "$url" || return 0
    if [ -n "$source" ] && has_set "${url%/"$tag"}/images-$source"; then
        note "\`$tag\` is newer now; continuing with the set of $source from images-$source"
        url=${url%/"$tag"}/images-$source
        return 7
    fi
    get again 1048577 "$url/SHA256SUMS" || return 0
    note "\`$tag\` was replaced during this run; starting again with the new set"
    return 9
}
# list: each image with its size, its set's version and date, in how many parts it comes, and whether it is here.
list() {
    for image in $(images); do
        set -- $(pieces "$image")
        size=$(bytes "$image.qcow2") here=
        [ ! -f "$dir/$image.qcow2" ] || here="here, not compared"
        [ $# -gt 1 ] && parts="$# parts" || parts=whole
        printf '%-24s %10s  %-8s %-10s %-8s %s\n' "$image" "${size:+$(((size + 1048575) / 1048576)) MiB}" "${source:--}" "${created%%T*}" "$parts" "$here"
    done
    printf 'next: sh %s%s %s\n' "$0" "$typed" "$image"
}

# --- An image. held BASE: how many bytes of a piece are here.
held() { echo $(($(size "$joined") - $1 + $(size "$joined.piece"))); }
# comes_right FILE: downloads the file without writing it to the disk, and compares its digest.
comes_right() {
    set -- "$1" "$(promised "$1")"
    (if [ $client = curl ]; then ask "$url/$1"; else ask "$url/$1" -O -; fi) 2>"$work/said" | head -c "$most" | $hasher >"$work/digest" &
    await || :
    [ "$(cut -c 1-64 "$work/digest")" = "$2" ]
}
# bring FILE BASE: a piece behind BASE bytes of $joined, checked. 9: its set is gone.
bring() {
    tries=0 small=0 wrong=0 wait=1 best=$(held "$2") most=$(bytes "$1") && most=${most:-2147483648}
    while :; do
        moved=0
        if onto "$url/$1" "$joined" "$2" "$most"; then
            digest "$joined" "$2"
            [ "$found" != "$(promised "$1")" ] || return 0
            why="it arrived with sha256 $found, SHA256SUMS says $(promised "$1")"
            cut_to "$joined" "$2"
            wrong=$((wrong + 1)) best=0 tries=0
            follow || moved=$?
            [ "$wrong$moved" != 20 ] || ! comes_right "$1" || fail 1 "$1 downloads correctly, but differs in $joined: another program writes to that file, or the disk is damaged"
            [ "$wrong$moved" != 20 ] || fail 4 "fetching $url/$1: $why"
        else
            why=$(words) gained=$(($(held "$2") - best)) tries=$((tries + 1)) small=$((small + 1))
            case $status in 40[0-7] | 41?) again='' ;; *) again='; run this again to continue' ;; esac
            case $status in 404 | 410) follow || moved=$? ;; esac
            # Only what is kept is progress, and a few bytes with each connection are none.
            [ "$gained" -le 0 ] || best=$((best + gained))
            [ "$gained" -lt 4096 ] || tries=0 wait=1 small=$((gained < 1048576 ? small : 0))
            { [ "$tries" -lt 4 ] && [ "$small" -lt 100 ]; } || fail 1 "fetching $url/$1: $why$again"
        fi
        [ "$moved" -ne 9 ] || return 9
        [ "$moved" -ne 7 ] || wrong=0
        note "$1: $why; retrying in $wait s"
        snooze "$wait" && wait=$((wait * 2))
    done
}
# whole_of IMAGE: all pieces into $joined, behind those that an earlier run checked. 9: its set is gone.
whole_of() {
    at=0 ready=0 number=0 brought=0
    [ ! -f "$joined.at" ] || read -r at ready <"$joined.at" || :
    case "$at$ready" in *[!0-9]* | "") at=0 ready=0 ;; esac
    [ "$(size "$joined")" -ge "$at" ] || at=0 ready=0
    [ -e "$joined" ] || (set -C && : >"$joined") || fail 1 "cannot create $joined"
    for part in $(pieces "$1"); do
        number=$((number + 1))
        [ "$number" -gt "$ready" ] || continue
        bring "$part" "$at" || return 9
        brought=$((brought + 1)) at=$(size "$joined")
        put "$joined.at" "$at $number"
    done
}
# fetch IMAGE. 9: its set is gone.
fetch() {
    image=$1 target=$dir/$1.qcow2 want=$(promised "$1.qcow2") resumed=false
    for file in "$target" "$target.sha256"; do [ ! -e "$file" ] || [ -f "$file" ] || fail 1 "$file is not a regular file; move it away"; done
    [ ! -e "$target" ] || digest "$target"
    if [ -e "$target" ] && [ "$found" = "$want" ]; then
        put "$target.sha256" "$want  $image.qcow2" && echo "$image.qcow2: unchanged, verified" && return 0
    fi
    [ ! -e "$target" ] || $force || fail 4 "$target differs from the image on the release; keep the local image, or replace it with --force"
    joined=$dir/.$image.incomplete-$(echo "$want" | cut -c 1-16)
    take_lock
    for file in "$joined" "$joined.at" "$joined.piece"; do ours "$file" || rm -f "$file" 2>/dev/null || fail 1 "$file is in the way; move it away"; done
    note "$image.qcow2: fetching" && { [ ! -s "$joined" ] || resumed=true; }
    until whole_of "$image" || { rm -f "$joined"* && unlock && return 9; } && {
        # An image of one piece, which was checked as it came, isn't read once more.
        [ "$number $brought" = "1 1" ] || { digest "$joined" && [ "$found" = "$want" ]; }
    }; do
        [ "$(size "$joined")" -eq "$at" ] || fail 1 "another program writes to $joined"
        rm -f "$joined"* && $resumed || fail 4 "$image.qcow2 does not match SHA256SUMS after its parts were joined; the file was removed"
        note "$image.qcow2: the partial download of an earlier run does not match; downloading again from the start"
        resumed=false
    done
    mv -f "$joined" "$target" || fail 1 "$target can't be written"
    put "$target.sha256" "$want  $image.qcow2"
    rm -rf "$dir/.$image.incomplete-"*
    { [ ! -t 2 ] || printf '\r\033[K' >&2; } && unlock && echo "$image.qcow2: fetched, verified"
}

# /proc may be of other processes.
read -r own rest 2>/dev/null </proc/self/stat || own=
mind >/dev/null & minder=$!
[ -z "$set" ] || choose_set
while :; do
    read_set
    if $all; then wanted=$(images); else wanted=$names; fi
    [ -n "$wanted" ] || { list && exit; }
    for name in $wanted; do [ -n "$(promised "$name.qcow2")" ] || { note "no image $name on this release; available: $(images | tr '\n' ' ')"; exit 2; }; done
    mkdir -p "$dir" || fail 1 "cannot create the folder $dir"
    not_older
    for name in $wanted; do fetch "$name" || continue 2; done
    exit 0
done
