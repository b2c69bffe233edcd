#!/bin/sh
# Refuses each ref that is pushed to a commit which adds or changes a workflow against the default branch. All others go their usual way.
# The protocol: https://git-scm.com/docs/githooks#proc-receive
set -eu
LC_ALL=C
export LC_ALL

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
    read -r _ new ref <<END
$packet
END
    commit=$(git rev-parse --verify --quiet "$new^{commit}" || true)
    if [ -n "$commit" ] && [ -n "$(workflow "$commit")" ]; then
        refused="$refused $ref "
    fi
done

printf '%s' "$commands" | while read -r _ new ref; do
    case $refused in
        *" $ref "*)
            file=$(workflow "$new^{commit}")
            write_packet "ng $ref refusing to allow @WHO@ to create or update workflow \`$file\` without \`@NAME@\` @WHAT@"
            ;;
        *)
            case "$features,$refused" in
                *atomic*,*?*) write_packet "ng $ref atomic transaction failed" ;;
                *)
                    write_packet "ok $ref"
                    write_packet 'option fall-through'
                    ;;
            esac
            ;;
    esac
done
printf 0000
