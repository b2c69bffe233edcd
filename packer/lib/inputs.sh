# shellcheck shell=bash
# What an image is made of: a snapshot of it, the key that tells whether it changed, and where it came from.
# Needs lib/common.sh.

# Raised when build.sh itself begins to make other images from the same inputs.
OUTPUT_REVISION=1

# take_snapshot NAME FOLDER: copies the inputs of an image: its template and all that is shared. What is built is
# what the key and the record speak of, even when somebody edits the files meanwhile.
take_snapshot() {
    mkdir -p "$2/templates"
    cp -R -p -- "$PACKER_DIR/templates/$1" "$2/templates/"
    cp -R -p -- "$PACKER_DIR/shared" "$2/"
    # Documents are no inputs.
    find "$2" -name '*.md' -type f -delete
}

# cache_key NAME SNAPSHOT DIGEST: prints lines that differ whenever the image would: every file with its mode,
# the base image, and the settings that reach the image.
cache_key() {
    local name=$1 snapshot=$2 digest=$3 setting
    echo "revision $OUTPUT_REVISION"
    echo "base-image $digest"
    for setting in DISK_SIZE COMPRESSION; do
        echo "setting $setting ${!setting-}"
    done
    (
        cd "$snapshot" || exit 1
        find "templates/$name" shared ! -type d -print0 | LC_ALL=C sort -z |
            while IFS= read -r -d '' file; do
                mode=644
                [ ! -x "$file" ] || mode=755
                if [ -L "$file" ]; then
                    printf 'file link %s -> %q\n' "$(readlink -- "$file" | sha256sum | cut -c-64)" "$file"
                else
                    printf 'file %s %s %q\n' "$mode" "$(sha256sum <"$file" | cut -c-64)" "$file"
                fi
            done
    )
}

# changed_inputs OLD NEW: for people, in a few words, what differs between two keys.
changed_inputs() {
    diff <(LC_ALL=C sort "$1") <(LC_ALL=C sort "$2") | awk '
        $1 != "<" && $1 != ">" { next }
        $2 == "file" { what = $5 == "->" ? $6 : $5; if (!(what in seen)) { seen[what]; out[++n] = what } next }
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
