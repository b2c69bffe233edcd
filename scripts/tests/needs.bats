#!/usr/bin/env bats
# What scripts say where they can't have what they need.

# shellcheck disable=SC2154 # bats sets these

bats_require_minimum_version 1.5.0

SCRIPTS=$BATS_TEST_DIRNAME/..

@test "setup: without apt it names what to install, and installs nothing" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    ln -s "$(command -v bash)" "$(command -v cargo)" "$BATS_TEST_TMPDIR/bin/"
    run --separate-stderr "$(command -v env)" PATH="$BATS_TEST_TMPDIR/bin" bash "$SCRIPTS/setup" images
    [ "$status" -eq 3 ]
    [ -z "$output" ]
    [[ $stderr == "setup: no apt here; install these yourself, as Debian names them: "*" xorriso "*" packer mmdebstrap "* ]]
}

@test "setup: another word is a usage error" {
    run --separate-stderr "$SCRIPTS/setup" everything
    [ "$status" -eq 2 ]
    [[ $stderr == usage:* ]]
}

@test "test-images: without root it is skipped, with the reason" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\necho 1000\n' >"$BATS_TEST_TMPDIR/bin/id"
    chmod +x "$BATS_TEST_TMPDIR/bin/id"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run "$SCRIPTS/test-images"
    [ "$status" -eq 77 ]
    [ "$output" = "skipped: building a base image needs root (sudo scripts/test-images)" ]
}

@test "test-images: without a Debian mirror it is skipped, with the reason" {
    if [ "$(id -u)" -ne 0 ] || ! unshare --mount --pid --fork true; then
        skip "needs root"
    fi
    DEBIAN_MIRROR=http://127.0.0.1:1/debian TMPDIR=$BATS_TEST_TMPDIR run "$SCRIPTS/test-images"
    [ "$status" -eq 77 ]
    [[ $output == "skipped: no Debian mirror within reach: "*"127.0.0.1"*"(http://127.0.0.1:1/debian)" ]]
    [ -z "$(find "$BATS_TEST_TMPDIR" -name 'test-images.*')" ]
}
