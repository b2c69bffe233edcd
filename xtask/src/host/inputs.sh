# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR FOLDER…` on a build host, after list-files.sh. Says in NUL-terminated fields which commit
# the folder is at and what lies in the FOLDERs below it.
dir=$1
shift
# A login script may have said something before.
printf 'packer-inputs\0'
if cd "$dir" 2>/dev/null; then
    # The folder can be another user's; nothing is run from it.
    if commit=$(GIT_OPTIONAL_LOCKS=0 git -c safe.directory='*' rev-parse --verify --quiet 'HEAD^{commit}' 2>/dev/null) &&
        [ -n "$(GIT_OPTIONAL_LOCKS=0 git -c safe.directory='*' ls-files -- "$1" 2>/dev/null | head -n 1)" ]; then
        printf 'commit\0%s\0' "$commit"
    fi
    for folder; do
        if [ -d "$folder" ]; then list_files "$folder" || printf 'unreadable\0'; fi
    done
fi
printf 'end\0'
