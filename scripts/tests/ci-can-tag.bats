#!/usr/bin/env bats
# scripts/ci-can-tag: found out before the build whether the workflow's token may push the tag.

# shellcheck disable=SC2154 # bats sets these

bats_require_minimum_version 1.5.0

setup() {
    SCRIPT=$BATS_TEST_DIRNAME/../ci-can-tag
    ORIGIN=$BATS_TEST_TMPDIR/origin CLONE=$BATS_TEST_TMPDIR/clone
    git init -q -b main "$ORIGIN"
    mkdir -p "$ORIGIN/.github/workflows"
    commit one
    git -C "$ORIGIN" tag v0.44
    echo code >"$ORIGIN/code"
    commit one
    git -C "$ORIGIN" tag v0.45
}

# commit TEXT: with a workflow of that text.
commit() {
    echo "$1" >"$ORIGIN/.github/workflows/images.yml"
    git -C "$ORIGIN" add -A
    git -C "$ORIGIN" -c user.name=test -c user.email=test@example.org -c commit.gpgsign=false commit -q -m test
}

may() {
    rm -rf "$CLONE"
    git clone -q "$ORIGIN" "$CLONE"
    run --separate-stderr "$SCRIPT" "$CLONE" "$1"
}

@test "a source whose workflows are those of a branch may be tagged, whatever else it has" {
    may v0.44
    [ "$status" -eq 0 ]
    [[ $output == *"those of main"* ]]
}

@test "a source with other workflows is refused with what to do, and a branch of them cures it" {
    commit two
    may v0.45
    [ "$status" -eq 3 ]
    [ -z "$output" ]
    [[ $stderr == *"GitHub refuses"*"refs/heads/workflows-v0.45'"*"PACKER_PUBLISH_TOKEN"* ]]
    # As the line says it.
    run git -C "$CLONE" push -q origin 'v0.45^{commit}:refs/heads/workflows-v0.45'
    [ "$status" -eq 0 ]
    may v0.45
    [ "$status" -eq 0 ]
    [[ $output == *"workflows-v0.45"* ]]
}

@test "a source without workflows may be tagged; a tag that is not there is a mistake" {
    git -C "$ORIGIN" rm -q -r .github
    git -C "$ORIGIN" -c user.name=test -c user.email=test@example.org -c commit.gpgsign=false commit -q -m none
    git -C "$ORIGIN" tag v0.46
    mkdir -p "$ORIGIN/.github/workflows"
    commit three
    may v0.46
    [ "$status" -eq 0 ]
    local tag
    for tag in v0.99 main ''; do
        may "$tag"
        [ "$status" -eq 2 ]
    done
}
