#!/bin/sh
# Refuses each ref that is pushed against a ruleset, or to a commit which adds or changes a workflow against the default branch. All
# others go their usual way.
# The protocol: https://git-scm.com/docs/githooks#proc-receive
set -eu
LC_ALL=C
export LC_ALL

# Who may not change workflows.
who='@WHO@'

# Sets `packet`; false at the end of a list.
read_packet() {
    length=$(dd bs=1 count=4 2>/dev/null)
    [ "$length" != 0000 ] || return 1
    packet=$(dd bs=1 count=$((0x$length - 4)) 2>/dev/null | tr '\0' ' ')
}

write_packet() {
    printf '%04x%s' $((${#1} + 4)) "$1"
}

# The first workflow that a commit would bring in.
workflow() {
    git diff-tree -r --no-renames --diff-filter=d --name-only HEAD "$1" -- .github/workflows 2>/dev/null | head -n 1
}

# Whether a ruleset forbids what is done with a ref.
is_forbidden() {
    case $1,$2 in
        *[!0]*,*[!0]*) what=update,$3 ;;
        *[!0]*,*) what=deletion,$3 ;;
        *) what=creation,$3 ;;
    esac
    : "$what"
    # A line for each ruleset.
    @FORBIDDEN@
    return 1
}

# Sets `reason`; false for a ref that may be pushed from OLD to NEW.
is_refused() {
    reason='push declined due to repository rule violations'
    ! is_forbidden "$@" || return 0
    commit=$(git rev-parse --verify --quiet "$2^{commit}" || true)
    [ "$who" ] && [ "$commit" ] || return 1
    file=$(workflow "$commit")
    reason="refusing to allow $who to create or update workflow \`$file\` without \`@NAME@\` @WHAT@"
    [ "$file" ]
}

read_packet
features=$packet
while read_packet; do :; done
write_packet version=1
printf 0000

commands=
refused=
while read_packet; do
    commands="$commands$packet
"
    read -r old new ref <<END
$packet
END
    if is_refused "$old" "$new" "$ref"; then
        refused=yes
    fi
done

printf '%s' "$commands" | while read -r old new ref; do
    if is_refused "$old" "$new" "$ref"; then
        write_packet "ng $ref $reason"
    else
        case "$features,$refused" in
            *atomic*,yes) write_packet "ng $ref atomic transaction failed" ;;
            *)
                write_packet "ok $ref"
                write_packet 'option fall-through'
                ;;
        esac
    fi
done
printf 0000
