# shellcheck shell=bash
# What build.sh and its siblings share: messages, exit codes, templates and their values.
# Read with `.`; the caller has set PACKER_DIR, the folder that holds templates/ and shared/.

# Exit codes. EXIT_NOTHING_TO_DO is used with build.sh --exit-code only.
# shellcheck disable=SC2034
{
    EXIT_FAILED=1
    EXIT_USAGE=2
    EXIT_MISSING=3
    EXIT_DIFFERS=4
    EXIT_NOTHING_TO_DO=20
}

PROGRAM=${0##*/}
# The log that messages go to besides the terminal; empty: none.
LOG=

# visible TEXT: TEXT on one line, and what a terminal would obey as \xHH: a mirror, a guest or a template may have chosen it.
# Control characters, what turns a line's direction or can't be seen, and what is no UTF-8.
visible() {
    local LC_ALL=C out='' rest=${1:0:4096} char high='' i
    if [[ $rest != *[^\ -~]* ]]; then
        printf '%s' "$rest"
        return
    fi
    # Bytes from 0x80 on stay only in text that is UTF-8 throughout.
    printf '%s' "$rest" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1 || high=1
    while [ -n "$rest" ]; do
        i=1
        case $rest in
        [\ -~]*) i=0 ;;
        # U+0080 to U+009F, U+061C; U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF; U+E0000 to U+E007F.
        $'\xc2'[$'\x80'-$'\x9f']* | $'\xd8\x9c'*) i=2 ;;
        $'\xe2\x80'[$'\x8b'-$'\x8f'$'\xa8'-$'\xae']* | $'\xe2\x81'[$'\xa0'-$'\xaf']* | $'\xef\xbb\xbf'*) i=3 ;;
        $'\xf3\xa0'[$'\x80'$'\x81']*) i=4 ;;
        [$'\x80'-$'\xff']*) [ -n "$high" ] || i=0 ;;
        esac
        if [ "$i" -eq 0 ]; then
            out+=${rest:0:1} rest=${rest:1}
            continue
        fi
        for ((; i > 0; i--)); do
            # Some versions of bash give a negative number.
            printf -v char %d "'${rest:0:1}"
            printf -v char '\\x%02x' "$((char & 255))"
            out+=$char rest=${rest:1}
        done
    done
    printf '%s' "$out"
}

say() {
    local line
    line=$(visible "$*")
    printf '%s\n' "$line"
    [ -z "$LOG" ] || printf '%s\n' "$line" >>"$LOG"
}

# complain MESSAGE…: each message is a line.
complain() {
    local line
    for line in "$@"; do
        line=$(visible "$line")
        printf '%s: %s\n' "$PROGRAM" "$line" >&2
        [ -z "$LOG" ] || printf '%s: %s\n' "$PROGRAM" "$line" >>"$LOG"
    done
}

# die STATUS MESSAGE…
die() {
    local status=$1
    shift
    complain "$@"
    exit "$status"
}

# require_tools COMMAND=PACKAGE…: names every one that is missing, and how to install them all.
require_tools() {
    local pair missing=() packages=()
    for pair in "$@"; do
        if ! command -v "${pair%%=*}" >/dev/null 2>&1; then
            missing+=("${pair%%=*}")
            packages+=("${pair##*=}")
        fi
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    complain "not installed: ${missing[*]}" "install with: apt-get install ${packages[*]}"
    # Debian dropped it when its licence changed.
    [[ " ${missing[*]} " != *" packer "* ]] ||
        complain "Debian 13 and later have no packer: see https://developer.hashicorp.com/packer/install"
    exit "$EXIT_MISSING"
}

# The names of all templates, one a line, sorted the same everywhere. A folder whose name no image may have is none.
list_templates() {
    local file
    for file in "$PACKER_DIR"/templates/*/template.pkr.hcl; do
        [ -f "$file" ] || continue
        file=${file%/template.pkr.hcl}
        ! is_template "${file##*/}" || printf '%s\n' "${file##*/}"
    done | LC_ALL=C sort
}

is_template() {
    local LC_ALL=C
    [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] && [ -f "$PACKER_DIR/templates/$1/template.pkr.hcl" ]
}

# The templates that have an image in images/.
list_images() {
    local name
    while IFS= read -r name; do
        [ ! -f "$IMAGES_DIR/$name/$name.qcow2" ] || printf '%s\n' "$name"
    done < <(list_templates)
}

# has_sha256 FILE HEX
has_sha256() {
    local sum
    sum=$(sha256sum <"$1") && [ "${sum%% *}" = "$2" ]
}

# check_names NAME…: ends with the list of known names if one is not a template.
check_names() {
    local name known
    known=$(list_templates | paste -sd ' ')
    [ -n "$known" ] || die "$EXIT_MISSING" "no templates in $PACKER_DIR/templates"
    for name in "$@"; do
        is_template "$name" || die "$EXIT_USAGE" "unknown image: $name" "known images: $known"
    done
}

# template_default NAME VARIABLE: the default of a variable in the template, which packer fmt keeps
# in the form that this reads.
template_default() {
    awk -v wanted="$2" '
        $1 == "variable" { inside = ($2 == "\"" wanted "\"") }
        inside && $1 == "default" {
            sub(/^[[:space:]]*default[[:space:]]*=[[:space:]]*/, "")
            sub(/[[:space:]]+$/, "")
            gsub(/^"|"$/, "")
            print
            exit
        }
    ' "$PACKER_DIR/templates/$1/template.pkr.hcl"
}

# json_string TEXT: TEXT as a JSON string, with its quotes.
json_string() {
    local text=$1 out='' char i
    for ((i = 0; i < ${#text}; i++)); do
        char=${text:i:1}
        case $char in
        '"' | \\) out+="\\$char" ;;
        $'\n') out+='\n' ;;
        $'\t') out+='\t' ;;
        $'\r') out+='\r' ;;
        [[:cntrl:]]) printf -v char '\\u%04x' "'$char" && out+=$char ;;
        *) out+=$char ;;
        esac
    done
    printf '"%s"' "$out"
}

# without_password URL: URL without user name and password, for logs and records.
without_password() {
    if [[ $1 =~ ^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@(.*)$ ]]; then
        printf '%s%s\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    else
        printf '%s\n' "$1"
    fi
}

# The path that a file: URL or a plain path stands for; nothing for any other URL.
local_path() {
    case $1 in
    file://localhost/*) printf '%s\n' "${1#file://localhost}" ;;
    file:///*) printf '%s\n' "${1#file://}" ;;
    file:/*) printf '%s\n' "${1#file:}" ;;
    /*) printf '%s\n' "$1" ;;
    esac
}
