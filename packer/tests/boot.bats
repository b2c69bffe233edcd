#!/usr/bin/env bats
# The boot at the end of a build, as far as it can be seen without a guest: whether it is asked for, and what becomes of an
# image that fails it. The boots themselves are in scripts/test-images.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper
setup() { setup_packer; }

@test "an image that does not boot leaves the last good one, and says what its console said" {
    build "$NAME"
    [ "$status" -eq 0 ]
    local before
    before=$(fingerprint)
    # A guest that says something and ends.
    mkdir "$BATS_TEST_TMPDIR/bin"
    cat >"$BATS_TEST_TMPDIR/bin/qemu-system-x86_64" <<'QEMU'
#!/bin/bash
for argument in "$@"; do
    case $argument in
    file:*) printf 'Linux version 6\r\n\033[31mFailed to start networking\033[0m\n' >"${argument#file:}" ;;
    esac
done
sleep 3
echo "gone" >&2
QEMU
    chmod +x "$BATS_TEST_TMPDIR/bin/qemu-system-x86_64"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH BOOT_TEST=yes build --force "$NAME"
    echo "$output" "$stderr"
    [ "$status" -eq 1 ]
    [[ $output == *"booting it on pc"* ]]
    [[ $stderr == *"qemu ended before the guest could be reached: gone"* ]]
    [[ $stderr == *"fails its boot on pc; the console's last lines:"*"    Linux version 6"*"    Failed to start networking"* ]]
    [[ $stderr != *$'\033'* ]]
    [ "$(fingerprint)" = "$before" ]
    grep -q 'Failed to start networking' "$ENGINE"/logs/"$NAME"-*.boot-pc.serial.log
}

@test "BOOT_TEST=no is said and recorded, and other values are refused" {
    build "$NAME"
    [[ $output == *"not booted, as BOOT_TEST=no says"* ]]
    [ "$(record boot)" = null ]
    BOOT_TEST=maybe build "$NAME"
    [ "$status" -eq 2 ]
    BOOT_TIMEOUT=soon build "$NAME"
    [ "$status" -eq 2 ]
}
