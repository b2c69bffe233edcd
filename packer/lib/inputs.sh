# shellcheck shell=bash
# What an image is made of: a snapshot of it, the list of that snapshot, and where it came from. The list is the one
# definition: it is the key that tells whether an image changed, and the record carries it to all who ask later.
# Needs lib/common.sh and lib/list-files.sh.

# shellcheck disable=SC2034 # build.sh reads it
# Raised when build.sh itself begins to make other images from the same inputs, and when the key's form changes.
OUTPUT_REVISION=2

# A version tag.
VERSION_PATTERN='v[0-9][0-9A-Za-z.+-]*'

# take_snapshot NAME FOLDER: copies the inputs of an image: its template and all that is shared. What is built is
# what the key and the record speak of, even when somebody edits the files meanwhile. Refuses what would reach the
# build otherwise than as a file of that snapshot.
take_snapshot() {
    local vendor LC_ALL=C
    mkdir -p "$2/templates"
    cp -R -p -- "$PACKER_DIR/templates/$1" "$2/templates/" && cp -R -p -- "$PACKER_DIR/shared" "$2/" || return 1
    # What an image is asked and how large it may get are no inputs, nor are documents and what makes a folder a repository.
    rm -rf -- "$2/templates/$1/tests" "$2/templates/$1/limits"
    find "$2" \( -name .git -o -name '*.md' -type f \) -prune -exec rm -rf -- {} +
    while IFS= read -r -d '' vendor; do
        [ -z "$(ls -A -- "$2/${vendor#*$'\t'}" 2>/dev/null)" ] || continue
        complain "$1: ${vendor#*$'\t'} is a submodule that is not checked out" "run: git submodule update --init"
        return 1
    done < <(packer_git ls-tree -r -z HEAD -- "templates/$1" shared 2>/dev/null | grep -z '^160000 ')
    # An empty folder is in no list.
    find "$2" -mindepth 1 -type d -empty -delete
    mkdir -p "$2/shared"
    check_snapshot "$1" "$2"
}

# check_snapshot NAME SNAPSHOT: names every file that can't be an input.
check_snapshot() {
    # Bytes: in another locale `read` takes the NUL for a part of a character that was cut short.
    local snapshot file target status=0 LC_ALL=C
    snapshot=$(realpath -- "$2") || return 1
    while IFS= read -r -d '' file; do
        if [[ $file == *[[:cntrl:]]* ]] || ! printf %s "$file" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1; then
            complain "$1: a file's name has characters that no list can hold: $(printf %q "$file")" "rename it"
        elif [ -L "$2/$file" ]; then
            target=$(realpath -m -- "$snapshot/$file")
            case $target in
            "$snapshot/templates/$1/tests" | "$snapshot/templates/$1/tests/"* | "$snapshot/templates/$1/limits")
                complain "$1: $file is a symlink to a file that is not an input: $(readlink -- "$2/$file")" "put the file itself there"
                status=1
                continue
                ;;
            "$snapshot/templates/$1" | "$snapshot/templates/$1/"* | "$snapshot/shared" | "$snapshot/shared/"*) continue ;;
            esac
            complain "$1: $file is a symlink that leads out of templates/$1 and shared: $(readlink -- "$2/$file")" \
                "put the file itself there"
        elif [ ! -f "$2/$file" ]; then
            complain "$1: $file is not a file" "remove it"
        elif head -c 100 -- "$2/$file" | grep -q '^version https://git-lfs\.github\.com/spec/'; then
            complain "$1: $file is a pointer of Git LFS, not the file" "run: git lfs pull"
        else
            continue
        fi
        status=1
    done < <(cd -- "$2" && find templates shared ! -type d -print0)
    outside_files "$1" || status=1
    return "$status"
}

# outside_files NAME: names every file that the template reads beside itself and that is not in the snapshot, so that
# the build would not find it. What it writes is none of them.
outside_files() {
    local reference file status=0
    # shellcheck disable=SC2016 # packer's words, not the shell's
    while IFS= read -r reference; do
        file=$(realpath -m -- "$PACKER_DIR/templates/$1/$reference")
        case $file in
        "$PACKER_DIR/templates/$1/tests/"* | "$PACKER_DIR/templates/$1/limits") ;;
        "$PACKER_DIR/templates/$1/"* | "$PACKER_DIR/shared/"*) continue ;;
        esac
        [ -f "$file" ] || continue
        complain "$1: its template names ${file#"$PACKER_DIR/"}, which is not an input of the image" \
            "move it to templates/$1 (not below its tests) or to shared"
        status=1
    done < <(sed -E '/^[[:space:]]*(#|\/\/|(destination|iso_target_path|output|output_directory|output_filename)[[:space:]]*=)/d' \
        -- "$PACKER_DIR/templates/$1"/*.hcl | grep -o '\${path\.root}/[^"$*]*' |
        sed 's#^[^/]*/##' | LC_ALL=C sort -u)
    return "$status"
}

# input_list NAME SNAPSHOT DIGEST: what an image is made of, a line an input: the base image, the settings that reach
# the image, every file with its mode and git's id of its bytes.
input_list() {
    local line compression LC_ALL=C
    compression=$(compression "$1") || return
    echo "base-image $3"
    echo "setting DISK_SIZE $DISK_SIZE"
    echo "setting COMPRESSION $compression"
    # A read that fails in here must not give a shorter list.
    (
        set -o pipefail
        cd -- "$2" && list_files "templates/$1" shared | LC_ALL=C sort -z -k 3 |
            while IFS= read -r -d '' line; do printf 'file %s\n' "$line"; done
    )
}

# inputs_json LIST: a list as the record has it.
inputs_json() {
    local what first rest files='' settings='' base=null
    while read -r what first rest; do
        case $what in
        base-image) [ -z "$first" ] || base=$(json_string "$first") ;;
        setting) settings+=${settings:+,}$(json_string "$first"):$(json_string "$rest") ;;
        file) files+=${files:+,}$(printf '{"path":%s,"mode":"%s","id":"%s"}' "$(json_string "${rest#* }")" \
            "$first" "${rest%% *}") ;;
        esac
    done <"$1"
    printf '{"files":[%s],"base_image":%s,"settings":{%s}}' "$files" "$base" "$settings"
}

# changed_inputs OLD NEW: for people, in a few words, what differs between two keys.
changed_inputs() {
    diff <(LC_ALL=C sort "$1") <(LC_ALL=C sort "$2") | awk '
        $1 != "<" && $1 != ">" { next }
        $2 == "file" { what = $0; sub(/^. file [0-7]+ [0-9a-f]+ /, "", what); if (!(what in seen)) { seen[what]; out[++n] = what } next }
        { what = $2 == "setting" ? $3 : $2; if (!(what in seen)) { seen[what]; out[++n] = what } }
        END {
            for (i = 1; i <= n && i <= 3; i++) printf "%s%s", (i > 1 ? ", " : ""), out[i]
            if (n > 3) printf " and %d more", n - 3
            print ""
        }'
}

# git without what an environment says about another repository, and with its own guard: it uses no repository of another user, such
# as one above the packer directory. It is asked for objects alone, so that neither the index nor a filter takes part, and no
# command that a repository's configuration names is run.
packer_git() {
    env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE -u GIT_OBJECT_DIRECTORY -u GIT_COMMON_DIR \
        GIT_OPTIONAL_LOCKS=0 GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none git -c core.fsmonitor=false \
        -c core.hooksPath=/dev/null -c safe.bareRepository=explicit -C "$PACKER_DIR" "$@"
}

# What is no input: documents, the questions that an image is asked, and how large it may get.
NO_INPUT='(\.md|^[0-7]* [0-9a-f]* templates/[^/]*/(tests/.*|limits))$'

# committed_files COMMIT PATH…, files_here PATH…: `MODE ID PATH` of each input, NUL at the end of each.
committed_files() {
    packer_git ls-tree -r -z "$@" 2>/dev/null | sed -z 's/^\([0-7]*\) [a-z]* \([0-9a-f]*\)\t/\1 \2 /' | grep -Ezv "$NO_INPUT"
}

files_here() (
    cd -- "$PACKER_DIR" && list_files "$@" | grep -Ezv "$NO_INPUT"
)

# built_from NAME: the JSON of the commit that the packer directory is at, or null where none can be told.
# Dirty: something that this image is made of, or that makes it, is not as committed. Files that git ignores
# count too, since the snapshot has them.
built_from() {
    local commit dirty=false LC_ALL=C
    commit=$(packer_git rev-parse --verify --quiet 'HEAD^{commit}' 2>/dev/null) || {
        echo null
        return
    }
    # A packer directory that git ignores or does not know differs in everything.
    cmp -s <(committed_files "$commit" "templates/$1" shared build.sh lib | sort -z) \
        <(files_here "templates/$1" shared build.sh lib | sort -z) || dirty=true
    printf '{"commit":%s,"dirty":%s}\n' "$(json_string "$commit")" "$dirty"
}

# identity NAME BUILT_FROM: what the image says about itself, as lines of NAME=value. None of it is an input.
identity() {
    local commit version=$IMAGE_VERSION
    echo "IMAGE_ID=$1"
    commit=$(sed -n 's/.*"commit":"\([0-9a-f]*\)".*/\1/p' <<<"$2")
    if [ -z "$version" ] && [[ $2 == *'"dirty":false'* ]]; then
        version=$(packer_git tag --points-at HEAD --list 'v[0-9]*' 2>/dev/null | grep -xE "$VERSION_PATTERN" | sort -V | tail -n 1) || version=
    fi
    [ -z "$version" ] || echo "IMAGE_VERSION=$version"
    echo "IMAGE_BUILD_DATE=$(date -u +%Y-%m-%d)"
    if [ -n "$commit" ]; then
        [[ $2 == *'"dirty":false'* ]] || commit+=-dirty
        echo "IMAGE_COMMIT=$commit"
    fi
}
