#!/usr/bin/env bats
# docs/security.md names a test for each line.

# shellcheck disable=SC2154,SC2016 # bats sets these; backticks are the page's

bats_require_minimum_version 1.5.0

@test "each test that docs/security.md names is there" {
    local root=$BATS_TEST_DIRNAME/../.. name found=0
    while IFS= read -r name; do
        grep -rqF --include=*.rs --include=*.bats -e "fn $name()" -e "@test \"$name\"" "$root/xtask" "$root/packer/tests" "$root/scripts" || {
            echo "no test is called: $name" >&2
            return 1
        }
        found=$((found + 1))
    done < <(awk -F ' \\| ' '/^## What holds/ { inside = 1 } /^## What does not/ { inside = 0 } inside && NF == 3 && !/^\| attack/ { print $3 }' \
        "$root/docs/security.md" | grep -o '`[^`]*`' | tr -d '`')
    [ "$found" -gt 25 ]
}
