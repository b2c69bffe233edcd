# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR FOLDER…` on a build host, after list-files.sh. Says in NUL-terminated fields which commit
# the folder is at and what lies in the FOLDERs below it.
dir=$1
shift
# git as it is on the host, with its own guard: it uses no repository of another user, such as one above the folder. Only objects are
# read, without the index and its filters, and no command that a repository names is run.
host_git() {
    GIT_OPTIONAL_LOCKS=0 GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none git -c core.fsmonitor=false \
        -c core.hooksPath=/dev/null -c safe.bareRepository=explicit "$@" 2>/dev/null </dev/null
}
if cd "$dir" 2>/dev/null; then
    if commit=$(host_git rev-parse --verify --quiet 'HEAD^{commit}') &&
        [ -n "$(host_git ls-tree --name-only "$commit" -- "$1" | head -n 1)" ]; then
        printf 'commit\0%s\0' "$commit"
        # A clone that is at a tag has no branch to pull.
        host_git symbolic-ref --quiet HEAD >/dev/null || printf 'detached\0'
    fi
    for folder; do
        if [ -d "$folder" ]; then list_files "$folder" || printf 'unreadable\0'; fi
    done
fi
printf 'end\0'
