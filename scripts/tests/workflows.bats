#!/usr/bin/env bats
# What the workflows' linters are there for.

# shellcheck disable=SC2154 # bats sets these

bats_require_minimum_version 1.5.0

SCRIPTS=$BATS_TEST_DIRNAME/..

# changed SED: the workflow Images, with a change.
changed() {
    mkdir -p "$BATS_TEST_TMPDIR/.github/workflows"
    sed "$1" "$SCRIPTS/../.github/workflows/images.yml" >"$BATS_TEST_TMPDIR/.github/workflows/images.yml"
    run "$SCRIPTS/lint-workflows" "$BATS_TEST_TMPDIR/.github/workflows/images.yml"
    [[ $output != *"skipped: "*security* ]] || skip "zizmor can't be installed"
}

@test "a signing key that every branch's workflow can read is reported, and so is input in a script" {
    changed ''
    [ "$status" -eq 0 ]
    # shellcheck disable=SC2016 # GitHub's words
    changed '/^    environment:/d; s/--source "$SOURCE"/--source ${{ inputs.source }}/'
    [ "$status" -ne 0 ]
    [[ $output == *secrets-outside-env* ]]
    [[ $output == *template-injection* ]]
}
