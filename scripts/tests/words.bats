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

@test "release.sh: a mistyped option is named" {
    refused release.sh packer --chek
    [[ $stderr == "release.sh: unknown option --chek, did you mean --check?"* ]]
    refused release.sh packer --coppy --source v0.45
    [[ $stderr == *"--coppy, did you mean --copy?"* ]]
    refused release.sh packer check
    [[ $stderr == *"unknown: check, did you mean --check?"* ]]
    refused release.sh packer --nosuch
    [[ $stderr == "release.sh: unknown option --nosuch"$'\n'* ]]
    refused release.sh paker
    [[ $stderr == *"unknown: paker"* ]]
}

@test "test: an unknown option is named before anything is done" {
    refused test --nosuch
    [[ $stderr == "scripts/test: unknown: --nosuch"$'\n'* ]]
    refused test --image
    [[ $stderr == *"--image, did you mean --images?"* ]]
}
