#!/usr/bin/env bats
# The boot at the end of a build: what is booted and asked, and what becomes of an image that gives a wrong answer. The
# guests are stand-ins; real ones are booted by scripts/test-images.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper

setup() {
    setup_packer
    export STUB_GUESTS=$BATS_TEST_TMPDIR/guests OVMF_DIR=$BATS_TEST_TMPDIR/share
    mkdir -p "$STUB_GUESTS" "$OVMF_DIR/OVMF"
    touch "$OVMF_DIR"/OVMF/OVMF_{CODE,VARS}_4M.fd
    unset STUB_AGENT STUB_FACTS STUB_UPGRADE
    TESTS=$ENGINE/templates/$NAME/tests
    rm -rf "$TESTS"
    export BOOT_TEST=yes
    PATH=$BATS_TEST_DIRNAME/stub-guest:$PATH
}

# ask FILE TEXT: a test of the template's.
ask() {
    mkdir -p "$TESTS"
    printf '#!/bin/bash\n%s\n' "$2" >"$TESTS/$1"
    chmod +x "$TESTS/$1"
}

# refused TEXT…: a build fails, says these one after the other, and leaves no image.
refused() {
    local text rest
    build --force "$NAME"
    echo "$output" "$stderr"
    [ "$status" -eq 1 ]
    rest=$stderr
    for text in "$@"; do
        [[ $rest == *"$text"* ]]
        rest=${rest#*"$text"}
    done
    [ ! -e "$SET" ]
    [ -z "$(ls -A "$ENGINE/.cache/work")" ]
}

@test "an image that does not boot leaves the last good one, and says what its console said" {
    BOOT_TEST=no build "$NAME"
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
    PATH=$BATS_TEST_TMPDIR/bin:$PATH build --force "$NAME"
    echo "$output" "$stderr"
    [ "$status" -eq 1 ]
    [[ $output == *"booting it on pc"* ]]
    [[ $stderr == *"qemu ended before the guest could be reached: gone"* ]]
    [[ $stderr == *"fails its boot on pc; the console's last lines:"*"    Linux version 6"*"    Failed to start networking"* ]]
    [[ $stderr != *$'\033'* ]]
    [ "$(fingerprint)" = "$before" ]
    grep -q 'Failed to start networking' "$ENGINE"/logs/"$NAME"-*.boot-pc.serial.log
}

@test "an image that nobody can log in to leaves the last good one, and says for how long it was tried" {
    BOOT_TEST=no build "$NAME"
    [ "$status" -eq 0 ]
    local before
    before=$(fingerprint)
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\nexit 255\n' >"$BATS_TEST_TMPDIR/bin/ssh"
    chmod +x "$BATS_TEST_TMPDIR/bin/ssh"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH BOOT_TIMEOUT=3 BOOT_FIRMWARE=bios build --force "$NAME"
    echo "$output" "$stderr"
    [ "$status" -eq 1 ]
    [[ $stderr == *"no login at the address"*"within 3 s"*"fails its boot on pc"* ]]
    [ "$(fingerprint)" = "$before" ]
}

@test "BOOT_TEST=no is said and recorded, and other values are refused" {
    BOOT_TEST=no build "$NAME"
    [[ $output == *"not booted, because BOOT_TEST=no"* ]]
    [ "$(record boot)" = null ]
    local setting
    for setting in BOOT_TEST=maybe BOOT_TIMEOUT=soon BOOT_FIRMWARE=efi BOOT_UPGRADE=often TEST_TIMEOUT=0; do
        run --separate-stderr env "$setting" "$ENGINE/build.sh" "$NAME"
        [ "$status" -eq 2 ]
        [[ $stderr == *"${setting%%=*} is ${setting#*=}, and must be"* ]]
    done
}

@test "it is booted with BIOS and with UEFI, asked its own questions on each, and the record says so" {
    # shellcheck disable=SC2016 # for the guest
    ask one.sh 'echo "$IMAGE $STAGE $ADDRESS $HOST $(pwd)" >>"'"$BATS_TEST_TMPDIR"'/asked"'
    build "$NAME"
    echo "$output" "$stderr"
    [ "$status" -eq 0 ]
    [[ $output == *"boots on pc"*"boots on q35"* ]]
    [ "$(record boot.machines | sed -E 's/: [0-9]+/: N/g')" = \
        '[{"type": "pc", "firmware": "bios", "seconds": N}, {"type": "q35", "firmware": "uefi", "seconds": N}]' ]
    [ "$(record boot.upgraded) $(record boot.tests) $(record boot.kernel)" = 'false ["one.sh"] "6.12.1"' ]
    [ "$(sed 's# /.*##' "$BATS_TEST_TMPDIR/asked" | sort -u)" = "$NAME first 10.0.2.77 booted" ]
    [ "$(wc -l <"$BATS_TEST_TMPDIR/asked")" -eq 2 ]
    grep -q -- '-machine pc,.*virtio-blk-pci' "$STUB_LOG.qemu"
    grep -q -- "-machine q35,.*readonly=on,file=$OVMF_DIR/OVMF/OVMF_CODE_4M.fd.*virtio-scsi-pci" "$STUB_LOG.qemu"
    # The machine's own variables, not the file that all machines of the host begin with.
    run ! grep -q "$OVMF_DIR/OVMF/OVMF_VARS" "$STUB_LOG.qemu"
}

@test "without UEFI for QEMU nothing is built: it is named with its package, and BOOT_FIRMWARE=bios goes without" {
    rm -r "$OVMF_DIR/OVMF"
    build "$NAME"
    [ "$status" -eq 3 ]
    [[ $stderr == *"UEFI for QEMU is not installed"*"apt-get install ovmf"*"BOOT_FIRMWARE=bios"* ]]
    run ! grep -q '^build' "$STUB_LOG"
    BOOT_FIRMWARE=bios build "$NAME"
    [ "$status" -eq 0 ]
    [ "$(record boot.machines | grep -o '"firmware": "[a-z]*"')" = '"firmware": "bios"' ]
    [[ $(<"$SET/$NAME.build.json") != *'"only"'* ]]
}

@test "an image that boots with one firmware by design says so in its template" {
    printf '\nvariable "boot_firmware" {\n  type    = string\n  default = "uefi"\n}\n' >>"$ENGINE/templates/$NAME/template.pkr.hcl"
    build "$NAME"
    [ "$status" -eq 0 ]
    [ "$(record boot.machines | grep -o '"firmware": "[a-z]*"')" = '"firmware": "uefi"' ]
    [ "$(record boot.only)" = '"uefi"' ]
    BOOT_FIRMWARE=bios build --force "$NAME"
    [ "$status" -eq 2 ]
    [[ $stderr == *"boots on uefi alone, and BOOT_FIRMWARE is bios"* ]]
    sed -i 's/default = "uefi"/default = "coreboot"/' "$ENGINE/templates/$NAME/template.pkr.hcl"
    build --force "$NAME"
    [ "$status" -eq 2 ]
    [[ $stderr == *'boot_firmware in its template is "coreboot"'* ]]
}

@test "a signed loader is booted with Secure Boot as well" {
    touch "$OVMF_DIR/OVMF/OVMF_CODE_4M.secboot.fd" "$OVMF_DIR/OVMF/OVMF_VARS_4M.ms.fd"
    export STUB_FACTS=$BATS_TEST_TMPDIR/facts
    echo "SHIM=/boot/efi/EFI/debian/shimx64.efi" >"$STUB_FACTS"
    build "$NAME"
    [ "$status" -eq 0 ]
    [[ $output == *"boots on q35 with Secure Boot"* ]]
    [[ $(record boot.machines) == *'"firmware": "uefi", "secure_boot": true'* ]]
    grep -q 'smm=on.*secboot.fd' "$STUB_LOG.qemu"
}

@test "each wrong answer is named" {
    export STUB_FACTS=$BATS_TEST_TMPDIR/facts
    printf '%s\n' 'CLOUD_INIT=1' 'CLOUD_INIT_SAYS=boom' 'FAILED_UNITS=pve-cluster.service' 'ADDRESSES=10.0.2.15/24' 'DNS=' \
        'AGENT=inactive' 'HOST_NAME=localhost' $'SOURCES=E: \033[31mno Release file' \
        'LEFT=identities that the first boot did not make' 'KERNELS=2' >"$STUB_FACTS"
    refused "cloud-init failed: boom" "failed units: pve-cluster.service" "its addresses are 10.0.2.15/24" \
        "its name servers are , expected 10.0.2.3" "the guest agent's service is inactive" "its name is localhost" \
        "apt-get update fails: E: no Release file" "the build left identities that the first boot did not make" "2 kernels in /boot"
    [[ $stderr != *$'\033'* ]]
    echo 'CLOUD_INIT=2' >"$STUB_FACTS"
    refused "cloud-init finished with errors"
    unset STUB_FACTS
    STUB_AGENT=dead refused "the guest agent does not answer over its channel"
}

@test "two machines with one identity are refused" {
    export STUB_FACTS=$BATS_TEST_TMPDIR/facts
    echo 'IDENTITY=/etc/ssl/private/ssl-cert-snakeoil.key 0123' >"$STUB_FACTS"
    refused "two machines have the same /etc/ssl/private/ssl-cert-snakeoil.key"
}

@test "a test that fails, hangs, prints escapes or takes the guest with it fails the build by name" {
    ask a.sh 'printf "\033[2Jwords\n" >&2; exit 7'
    ask b.sh 'sleep 300'
    TEST_TIMEOUT=1 refused "tests/a.sh (first boot) failed with exit code 7" "    words" "tests/b.sh (first boot) does not end within 1 s" \
        "fails its boot on pc"
    [[ $stderr != *$'\033'* ]]
    rm "$TESTS"/*
    ask c.sh 'touch dead; exit 255'
    refused "tests/c.sh (first boot) failed" "the guest cannot be reached any more after tests/c.sh"
    # What runs on and on is not kept.
    ask c.sh 'timeout 5 yes; exit 3'
    refused "tests/c.sh (first boot) failed with exit code 3"
}

@test "what cannot be asked is refused before anything is built" {
    never_asked() {
        refused "$1"
        run ! grep -q '^build' "$STUB_LOG"
    }
    ask a.sh true
    chmod -x "$TESTS/a.sh"
    never_asked "tests/a.sh is not executable"
    echo true >"$TESTS/a.sh"
    chmod +x "$TESTS/a.sh"
    never_asked "tests/a.sh does not begin with #!"
    rm "$TESTS/a.sh"
    mkdir "$TESTS/a.sh"
    never_asked "tests/a.sh is not a file"
    rmdir "$TESTS/a.sh"
    # shellcheck disable=SC2016
    ask 'a$(x).sh' true
    never_asked "a test's name has characters other than"
}

@test "an upgrade and a reboot, and the same questions again" {
    # shellcheck disable=SC2016 # for the guest
    ask one.sh 'echo "$STAGE" >>"'"$BATS_TEST_TMPDIR"'/asked"'
    BOOT_UPGRADE=yes build "$NAME"
    echo "$output" "$stderr"
    [ "$status" -eq 0 ]
    [[ $output == *"after the upgrade (3 upgraded, 1 newly installed"* ]]
    [ "$(sort "$BATS_TEST_TMPDIR/asked" | uniq -c | xargs)" = "2 first 2 upgraded" ]
    [ "$(record boot.upgraded)" = true ]
    rm -r "$SET"
    # shellcheck disable=SC2016 # for the guest
    ask two.sh '[ "$STAGE" = first ]'
    BOOT_UPGRADE=yes refused "tests/two.sh (upgraded boot) failed"
    rm "$TESTS/two.sh"
    export BOOT_UPGRADE=yes STUB_UPGRADE='Unable to fetch some archives'
    refused "apt-get full-upgrade fails with exit code 100" "    E: Unable to fetch some archives"
    [[ $stderr != *$'\033'* ]]
}

@test "an upgrade is made with KVM, and under TCG only when asked" {
    export KVM_DEVICE=$BATS_TEST_TMPDIR/kvm
    : >"$KVM_DEVICE"
    build "$NAME"
    [ "$(record boot.upgraded)" = false ]
    ACCELERATOR=auto build --force "$NAME"
    [ "$(record boot.upgraded)" = true ]
    ACCELERATOR=auto BOOT_UPGRADE=no build --force "$NAME"
    [ "$(record boot.upgraded)" = false ]
}

machines_run() {
    [ -f "$STUB_PIDS" ] && [ "$(wc -l <"$STUB_PIDS")" -ge "${1:-1}" ]
}

@test "a build that is stopped or killed during its boots leaves no machine" {
    ask wait.sh 'sleep 300'
    local signal status pids
    for signal in TERM HUP KILL; do
        rm -f "$STUB_PIDS"
        "$ENGINE/build.sh" "$NAME" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
        BUILD=$!
        wait_for machines_run
        sleep 1
        kill "-$signal" "$BUILD"
        status=0
        wait "$BUILD" || status=$?
        [ "$status" -gt 128 ]
        mapfile -t pids <"$STUB_PIDS"
        wait_for all_gone "${pids[@]}"
        no_words_of_bash <"$BATS_TEST_TMPDIR/out"
    done
}
