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

say() {
    printf '%s\n' "$*"
    [ -z "$LOG" ] || printf '%s\n' "$*" >>"$LOG"
}

# complain MESSAGE…: each message is a line.
complain() {
    local line
    for line in "$@"; do
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

# The names of all templates, one a line, sorted the same everywhere.
list_templates() {
    local file
    for file in "$PACKER_DIR"/templates/*/template.pkr.hcl; do
        [ -f "$file" ] || continue
        file=${file%/template.pkr.hcl}
        printf '%s\n' "${file##*/}"
    done | LC_ALL=C sort
}

is_template() {
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
