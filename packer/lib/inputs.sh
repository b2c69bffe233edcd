# shellcheck shell=bash
# What an image is made of: a snapshot of it, the list of that snapshot, and where it came from. The list is the one
# definition: it is the key that tells whether an image changed, and the record carries it to all who ask later.
# Needs lib/common.sh and lib/list-files.sh.

# shellcheck disable=SC2034 # build.sh reads it
# Raised when build.sh itself begins to make other images from the same inputs, and when the key's form changes.
OUTPUT_REVISION=2

# take_snapshot NAME FOLDER: copies the inputs of an image: its template and all that is shared. What is built is
# what the key and the record speak of, even when somebody edits the files meanwhile. Refuses what would reach the
# build otherwise than as a file of that snapshot.
take_snapshot() {
    local vendor LC_ALL=C
    mkdir -p "$2/templates"
    cp -R -p -- "$PACKER_DIR/templates/$1" "$2/templates/" && cp -R -p -- "$PACKER_DIR/shared" "$2/" || return 1
    # Documents are no inputs, nor is what makes a folder a repository.
    find "$2" \( -name .git -o -name '*.md' -type f \) -prune -exec rm -rf -- {} +
    while IFS= read -r -d '' vendor; do
        [ -z "$(ls -A -- "$2/${vendor#*$'\t'}" 2>/dev/null)" ] || continue
        complain "$1: ${vendor#*$'\t'} is a submodule that is not checked out" "run: git submodule update --init"
        return 1
    done < <(packer_git ls-files -s -z -- "templates/$1" shared 2>/dev/null | grep -z '^160000 ')
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
            "$snapshot/templates/$1" | "$snapshot/templates/$1/"* | "$snapshot/shared" | "$snapshot/shared/"*) continue ;;
            esac
            complain "$1: $file is a symlink that leads out of templates/$1 and shared: $(readlink -- "$2/$file")" \
                "put the file itself there"
        elif [ ! -f "$2/$file" ]; then
            complain "$1: $file is no file" "remove it"
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
# the build would not find it.
outside_files() {
    local reference file status=0
    # shellcheck disable=SC2016 # packer's words, not the shell's
    while IFS= read -r reference; do
        file=$(realpath -m -- "$PACKER_DIR/templates/$1/$reference")
        case $file in
        "$PACKER_DIR/templates/$1/"* | "$PACKER_DIR/shared/"*) continue ;;
        esac
        [ -f "$file" ] || continue
        complain "$1: its template names ${file#"$PACKER_DIR/"}, which is not what the image is built from" \
            "move it to templates/$1 or to shared"
        status=1
    done < <(sed '/^[[:space:]]*\(#\|\/\/\)/d' -- "$PACKER_DIR/templates/$1"/*.hcl | grep -o '\${path\.root}/[^"$*]*' |
        sed 's#^[^/]*/##' | LC_ALL=C sort -u)
    return "$status"
}

# input_list NAME SNAPSHOT DIGEST: what an image is made of, a line an input: the base image, the settings that reach
# the image, every file with its mode and git's id of its bytes.
input_list() {
    local setting line LC_ALL=C
    echo "base-image $3"
    for setting in DISK_SIZE COMPRESSION; do
        echo "setting $setting ${!setting-}"
    done
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

# git without what an environment says about another repository, and for a folder that another
# user owns as well: nothing is run from it that its owner could not make us run anyway.
packer_git() {
    env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE -u GIT_OBJECT_DIRECTORY -u GIT_COMMON_DIR \
        GIT_OPTIONAL_LOCKS=0 git -c safe.directory='*' -C "$PACKER_DIR" "$@"
}

# built_from NAME: the JSON of the commit that the packer directory is at, or null where none can be told.
# Dirty: something that this image is made of, or that makes it, is not as committed. Files that git ignores
# count too, since the snapshot has them.
built_from() {
    local commit changes dirty=false
    commit=$(packer_git rev-parse --verify --quiet 'HEAD^{commit}' 2>/dev/null) || {
        echo null
        return
    }
    changes=$(packer_git status --porcelain --untracked-files=all --ignored -- \
        "templates/$1" shared build.sh lib ':(exclude,glob)**/*.md' 2>/dev/null) || {
        echo null
        return
    }
    [ -z "$changes" ] || dirty=true
    # A packer directory that git ignores or does not know has no commit.
    if [ -z "$(packer_git ls-files -- "templates/$1/template.pkr.hcl" 2>/dev/null)" ]; then
        dirty=true
    fi
    printf '{"commit":%s,"dirty":%s}\n' "$(json_string "$commit")" "$dirty"
}
