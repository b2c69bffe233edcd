# shellcheck shell=sh
# Files with their modes and git's ids of their bytes, as they are on disk and without git: build.sh reads this, and
# `cargo xtask packer` sends it to build hosts. POSIX sh with GNU find and coreutils.

# list_files FOLDER…: prints `MODE ID PATH` for every file below, NUL at the end of each, in no order. MODE is 100755
# where the owner may execute, 100644, or 120000 for a symlink, whose bytes are its text; 000000 is what is no file.
# No filter and no attribute of git takes part.
list_files() {
    find "$@" ! -type d -exec sh -c '
        for file; do
            id=0000000000000000000000000000000000000000
            if [ -L "$file" ]; then
                mode=120000
                size=$(readlink -n -- "$file" | wc -c)
                id=$({ printf "blob %s\000" "$size" && readlink -n -- "$file"; } | sha1sum) || exit
            elif [ -f "$file" ]; then
                case $(stat -c %A -- "$file") in
                ???[xs]*) mode=100755 ;;
                *) mode=100644 ;;
                esac
                [ -r "$file" ] || { echo "cannot read $file" >&2 && exit 1; }
                id=$({ printf "blob %s\000" "$(stat -c %s -- "$file")" && cat -- "$file"; } | sha1sum) || exit
            else
                mode=000000
            fi
            printf "%s %s %s\000" "$mode" "${id%% *}" "$file"
        done
    ' sh {} +
}
