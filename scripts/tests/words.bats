#!/usr/bin/env bats
# Words that the scripts don't know are named, with the one that was meant.

# shellcheck disable=SC2154 # bats sets these

bats_require_minimum_version 1.5.0

SCRIPTS=$BATS_TEST_DIRNAME/..

refused() {
    run --separate-stderr "$SCRIPTS/$1" "${@:2}"
    [ "$status" -eq 2 ]
    [ -z "$output" ]
}

@test "release.sh: what is none of its two lines" {
    for words in "" paker packer "packer --chek" "packer check" "status"; do
        # shellcheck disable=SC2086 # words
        refused release.sh $words
        [[ $stderr == *"usage: scripts/release.sh packer --check"*"--copy --source TAG"* ]]
    done
    run --separate-stderr "$SCRIPTS/release.sh" --help
    [ "$status" -eq 0 ]
    [[ $output == *"--copy --source TAG"* ]]
}

@test "release.sh: the two lines become the tool's own" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\nshift 5\necho "$@"\n' >"$BATS_TEST_TMPDIR/bin/cargo"
    chmod +x "$BATS_TEST_TMPDIR/bin/cargo"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    [ "$("$SCRIPTS/release.sh" packer --check --json "a b")" = "-- packer check --json a b" ]
    [ "$("$SCRIPTS/release.sh" packer --copy --source v0.45 --execute)" = "-- packer publish --copy --source v0.45 --execute" ]
}

@test "test: an unknown option is named before anything is done" {
    refused test --nosuch
    [[ $stderr == "scripts/test: unknown: --nosuch"$'\n'* ]]
    refused test --image
    [[ $stderr == *"--image, did you mean --images?"* ]]
}
