# shellcheck shell=bash
# Boots a finished image as its user's hypervisor does, before it replaces the last good one: on an overlay, with a seed
# on a CD, once with each firmware, and asks it what lib/questions.sh has and what its template's own tests ask.
# Needs lib/common.sh, lib/children.sh, lib/packer.sh and lib/questions.sh.

# FIRMWARE MACHINE DISK: `pc` has the CD on IDE and the disk on virtio, as /dev/vda; `q35` has the CD on SATA and the disk on
# virtio-scsi, as /dev/sda. `secure` is UEFI that starts signed loaders alone.
BOOT_MACHINES=("bios pc virtio" "uefi q35 scsi" "secure q35 scsi")
# What the seed asks for. QEMU's own DHCP server would give 10.0.2.15, so nothing else leads to this address.
BOOT_ADDRESS=10.0.2.77
BOOT_HOST=booted
# QEMU's own.
BOOT_DNS=10.0.2.3
BOOT_CONSOLE_LINES=40

# Where systems keep UEFI for QEMU, as CODE VARIABLES: Debian and Ubuntu, Fedora, Arch.
OVMF_FILES=(
    "OVMF/OVMF_CODE_4M.fd OVMF/OVMF_VARS_4M.fd"
    "OVMF/OVMF_CODE.fd OVMF/OVMF_VARS.fd"
    "edk2/ovmf/OVMF_CODE.fd edk2/ovmf/OVMF_VARS.fd"
    "edk2/x64/OVMF_CODE.4m.fd edk2/x64/OVMF_VARS.4m.fd"
)
OVMF_SECURE_FILES=("OVMF/OVMF_CODE_4M.secboot.fd OVMF/OVMF_VARS_4M.ms.fd" "OVMF/OVMF_CODE.secboot.fd OVMF/OVMF_VARS.ms.fd")
: "${OVMF_DIR:=/usr/share}"

# boot_firmwares NAME: the firmwares that an image is booted with, on one line: what the template says (both without a word
# of it), and of these what BOOT_FIRMWARE asks for.
boot_firmwares() {
    local firmware own wanted=''
    own=$(template_default "$1" boot_firmware)
    for firmware in ${own:-bios uefi}; do
        case $firmware in
        bios | uefi) ;;
        *)
            complain "$1: boot_firmware in its template is \"$own\", and must be \"bios\", \"uefi\" or \"bios uefi\""
            return 1
            ;;
        esac
        [[ $BOOT_FIRMWARE != all && $BOOT_FIRMWARE != "$firmware" ]] || wanted+=${wanted:+ }$firmware
    done
    if [ -z "$wanted" ]; then
        complain "$1: its template says that it boots on $own alone, and BOOT_FIRMWARE is $BOOT_FIRMWARE" \
            "leave BOOT_FIRMWARE out, or say BOOT_TEST=no"
        return 1
    fi
    printf '%s\n' "$wanted"
}

# ovmf_files FIRMWARE: CODE and VARIABLES for it, a line each; fails where there are none.
ovmf_files() {
    local pair code variables pairs=("${OVMF_FILES[@]}")
    [ "$1" != secure ] || pairs=("${OVMF_SECURE_FILES[@]}")
    for pair in "${pairs[@]}"; do
        read -r code variables <<<"$pair"
        if [ -r "$OVMF_DIR/$code" ] && [ -r "$OVMF_DIR/$variables" ]; then
            printf '%s\n' "$OVMF_DIR/$code" "$OVMF_DIR/$variables"
            return
        fi
    done
    return 1
}

# require_firmware NAME: before hours of building, that what the boots at the end need is there.
require_firmware() {
    local firmwares
    # shellcheck disable=SC2153 # a setting of build.sh
    [ "$BOOT_TEST" = yes ] || return 0
    firmwares=$(boot_firmwares "$1") || return "$EXIT_USAGE"
    if [[ " $firmwares " == *" uefi "* ]] && ! ovmf_files uefi >/dev/null; then
        complain "UEFI for QEMU is not installed: no OVMF_CODE_4M.fd or similar file below $OVMF_DIR" \
            "install with: apt-get install ovmf; or boot on BIOS alone, with BOOT_FIRMWARE=bios"
        return "$EXIT_MISSING"
    fi
}

# boot_test NAME IMAGE: sets BOOT_PROOF to the record's JSON, or to null where BOOT_TEST says no.
boot_test() {
    local firmware firmwares machines='' kernel='' only=''
    BOOT_PROOF=null
    # shellcheck disable=SC2153 # a setting of build.sh
    if [ "$BOOT_TEST" = no ]; then
        say "not booted, because BOOT_TEST=no; the build record says so"
        return
    fi
    firmwares=$(boot_firmwares "$1") || return
    boot_all "$1" "$2" "$firmwares" || return
    # A loader that is signed must be one that firmware takes.
    if [ -n "$(boot_fact SHIM "$WORK/boot/uefi" 2>/dev/null)" ] && ovmf_files secure >/dev/null; then
        firmwares+=" secure"
        boot_all "$1" "$2" secure || return
    fi
    check_machines_differ "$1" "$firmwares" || return
    for firmware in $firmwares; do
        kernel=$(boot_fact KERNEL "$WORK/boot/$firmware")
        machines+=${machines:+,}$(machine_json "$firmware")
    done
    only=$(template_default "$1" boot_firmware)
    [[ $only == bios || $only == uefi ]] || only=
    # shellcheck disable=SC2034 # lib/image-set.sh reads it
    BOOT_PROOF=$(printf '{"machines":[%s],"accelerator":"%s","kernel":%s,"upgraded":%s,"tests":[%s]%s}' "$machines" \
        "$ACCELERATED" "$(json_string "$kernel")" "$([ "$BOOT_UPGRADED" = yes ] && echo true || echo false)" \
        "$(test_names_json)" "${only:+,\"only\":\"$only\"}")
}

# machine_json FIRMWARE: one boot, for the record.
machine_json() {
    local firmware=$1 secure=''
    [ "$firmware" != secure ] || firmware=uefi secure=',"secure_boot":true'
    printf '{"type":"%s","firmware":"%s"%s,"seconds":%d}' "$(machine_of "$1")" "$firmware" "$secure" "$(<"$WORK/boot/$1/seconds")"
}

# machine_of FIRMWARE
machine_of() {
    local row firmware machine
    for row in "${BOOT_MACHINES[@]}"; do
        read -r firmware machine _ <<<"$row"
        [ "$firmware" != "$1" ] || printf '%s\n' "$machine"
    done
}

# boot_all NAME IMAGE FIRMWARES: beside each other where processors and memory allow, which under TCG takes little longer
# than one. The first that fails ends the others.
boot_all() {
    local name=$1 image=$2 firmware folder shells=() memory free limit=1 status=0
    # shellcheck disable=SC2153 # a setting of build.sh
    BOOT_UPGRADED=$BOOT_UPGRADE
    if [ "$BOOT_UPGRADED" = auto ]; then
        BOOT_UPGRADED=no
        [ "$ACCELERATED" = tcg ] || BOOT_UPGRADED=yes
    fi
    memory=${MEMORY:-$(template_default "$name" memory)}
    free=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo 2>/dev/null) || free=0
    if [ "$(nproc 2>/dev/null || echo 1)" -ge 2 ] && [ "${free:-0}" -gt $((2 * memory + 512)) ]; then
        limit=2
    fi
    local waiting=()
    read -r -a waiting <<<"$3"
    for firmware in "${waiting[@]}"; do
        folder=$WORK/boot/$firmware
        mkdir -p "$folder" || return
        say "booting it on $(boot_name "$firmware")"
        # Each says what it has to say when it is its turn.
        start_shell boot_beside "$name" "$image" "$firmware" "$folder" >"$folder/said" 2>&1
        shells+=("$firmware:${SHELLS[-1]}")
        if [ "${#shells[@]}" -ge "$limit" ] || [ "$firmware" = "${waiting[-1]}" ]; then
            wait_for_boots "$name" "${shells[@]}" || status=$?
            shells=()
            [ "$status" -eq 0 ] || break
        fi
    done
    stop_shells
    return "$status"
}

# wait_for_boots NAME FIRMWARE:SHELL…
wait_for_boots() {
    local name=$1 shell firmware status
    shift
    for shell in "$@"; do
        firmware=${shell%%:*} status=0
        wait "${shell#*:}" || status=$?
        while IFS= read -r line; do
            case $status in
            0) say "$line" ;;
            *) complain "$line" ;;
            esac
        done <"$WORK/boot/$firmware/said"
        if [ "$status" -ne 0 ]; then
            stop_shells
            tell_console "$name" "$firmware"
            return 1
        fi
        say "boots on $(boot_name "$firmware"), $(<"$WORK/boot/$firmware/seconds") s with its checks"
    done
}

# boot_name FIRMWARE: for people.
boot_name() {
    case $1 in
    secure) echo "$(machine_of "$1") with Secure Boot" ;;
    *) machine_of "$1" ;;
    esac
}

# tell_console NAME FIRMWARE: how far the guest came.
tell_console() {
    local folder=$WORK/boot/$2
    complain "$1 fails its boot on $(boot_name "$2"); the console's last lines:"
    printable 2>/dev/null <"$folder/console" | without_key_pictures | tail -n "$BOOT_CONSOLE_LINES" |
        sed 's/^/    /' | tee -a -- "$LOG" >&2
    cp -- "$folder/console" "${LOG%.log}.boot-$(boot_name "$2" | tr ' ' -).serial.log" 2>/dev/null || true
}

# The guest's console is text from outside.
printable() {
    tr -d '\r' | LC_ALL=C sed 's/\x1b\[[0-9;?]*[A-Za-z]//g' | LC_ALL=C tr -cd '\11\12\40-\176'
}

# Host keys fill a screen, and what went wrong stands above them.
without_key_pictures() {
    grep -vE 'cloud-init\[[0-9]+\]: (\||\+--|Generating public|Your |The key)' || true
}

# boot_beside NAME IMAGE FIRMWARE FOLDER: in a shell of its own; what it says is told by its caller.
boot_beside() {
    local started=$SECONDS
    LOG=
    complain() { printf '%s\n' "$@"; }
    boot_on "$@" || return
    echo $((SECONDS - started)) >"$4/seconds"
}

# boot_on NAME IMAGE FIRMWARE FOLDER
boot_on() {
    local name=$1 image=$2 firmware=$3 folder=$4 size cpu=host limit=300
    if [ "$ACCELERATED" = tcg ]; then
        cpu=max limit=1800
    fi
    BOOT_LIMIT=${BOOT_TIMEOUT:-$limit}
    size=$(qemu-img info --output=json -- "$image" | sed -n 's/^ *"virtual-size": \([0-9]*\),*$/\1/p' | head -n 1)
    # A gigabyte more than the image: the root file system must grow into it.
    size=$((size + 1024 * 1024 * 1024))
    qemu-img create -q -f qcow2 -F qcow2 -b "$image" "$folder/disk.qcow2" "$size" || return
    make_boot_seed "$name" "$firmware" "$folder" || return
    start_guest "$firmware" "$cpu" "${MEMORY:-$(template_default "$name" memory)}" "$folder" || return
    wait_for_login "that the seed asks for" || return
    ask_guest "$name" first "$folder" "$size" || return
    if [ "$BOOT_UPGRADED" = yes ]; then
        upgrade_guest "$name" "$folder" || return
        ask_guest "$name" upgraded "$folder" "$size" || return
    fi
    power_off $((limit / 2)) "$folder"
}

# wait_for_login WORDS [BOOT]: until somebody can log in, in another boot than BOOT.
wait_for_login() {
    local deadline=$((SECONDS + BOOT_LIMIT)) said=$BOOT_FOLDER/boot-id
    # Into a file: a signal would wait for what is in parentheses.
    until guest cat /proc/sys/kernel/random/boot_id >"$said" 2>/dev/null && [ -s "$said" ] && [ "$(<"$said")" != "${2-}" ]; do
        if ! child_lives; then
            complain "qemu ended before the guest could be reached: $(printable <"$BOOT_FOLDER/qemu.log" | tail -n 1)"
            return 1
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            complain "no login at the address $1 within $BOOT_LIMIT s" \
                "the guest did not set up the network, the user or the key of the seed in time; raise the limit with BOOT_TIMEOUT"
            return 1
        fi
        sleep 1 &
        wait $!
    done
    # shellcheck disable=SC2034 # lib/questions.sh reads it
    BOOT_ID=$(<"$said")
}

# power_off SECONDS FOLDER
power_off() {
    local deadline=$((SECONDS + $1)) status=0
    guest sudo systemctl poweroff >/dev/null 2>&1 || true
    while child_lives; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            complain "the guest does not power off within $1 s"
            return 1
        fi
        sleep 1 &
        wait $!
    done
    wait "$CHILD" 2>/dev/null || status=$?
    CHILD=
    [ "$status" -eq 0 ] || complain "qemu ended with $status: $(printable <"$2/qemu.log" | tail -n 1)"
    return "$status"
}

# make_boot_seed NAME FIRMWARE FOLDER: as Proxmox VE writes it, with a static address.
make_boot_seed() {
    local seed=$3/seed iso
    BOOT_KEY=$3/key
    BOOT_MAC=52:54:00:15:$(printf '%02x:%02x' "$((RANDOM % 256))" "$((RANDOM % 256))")
    mkdir -p "$seed" || return
    ssh-keygen -q -t ed25519 -N '' -C boot -f "$BOOT_KEY" || return
    cat >"$seed/user-data" <<EOF
#cloud-config
hostname: $BOOT_HOST
manage_etc_hosts: true
users:
  - name: tester
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys: ["$(<"$BOOT_KEY.pub")"]
ssh_genkeytypes: [ed25519]
locale: false
package_update: false
EOF
    printf 'instance-id: %s-%s-%s\nlocal-hostname: %s\n' "$1" "$2" "$$" "$BOOT_HOST" >"$seed/meta-data"
    cat >"$seed/network-config" <<EOF
version: 1
config:
  - type: physical
    name: eth0
    mac_address: '$BOOT_MAC'
    subnets:
      - type: static
        address: $BOOT_ADDRESS
        netmask: 255.255.255.0
        gateway: 10.0.2.2
  - type: nameserver
    address: [$BOOT_DNS]
    search: [localdomain]
EOF
    iso=$(command -v xorriso || command -v mkisofs || command -v genisoimage) || return
    if [ "${iso##*/}" = xorriso ]; then
        xorriso -as mkisofs -quiet -V cidata -J -r -o "$3/seed.iso" "$seed" >/dev/null 2>&1
    else
        "$iso" -quiet -V cidata -J -r -o "$3/seed.iso" "$seed" >/dev/null 2>&1
    fi
}

# start_guest FIRMWARE CPU MEMORY FOLDER: sets BOOT_PORT and BOOT_FOLDER. Somebody else may take the port between the look and
# the start: then another is tried.
start_guest() {
    local folder=$4 machine firmware=() disk files
    BOOT_FOLDER=$folder
    machine=$(machine_of "$1"),accel=$ACCELERATED
    disk="file=$folder/disk.qcow2,format=qcow2,cache=unsafe,id=disk,if=none"
    if [ "$1" != bios ]; then
        mapfile -t files < <(ovmf_files "$1")
        cp -- "${files[1]}" "$folder/variables.fd" && chmod u+w "$folder/variables.fd" || return
        firmware=(-drive "if=pflash,unit=0,format=raw,readonly=on,file=${files[0]}"
            -drive "if=pflash,unit=1,format=raw,file=$folder/variables.fd")
        if [ "$1" = secure ]; then
            machine+=,smm=on
            firmware+=(-global "driver=cfi.pflash01,property=secure,value=on")
        fi
        firmware+=(-device virtio-scsi-pci -device "scsi-hd,drive=disk,bootindex=1")
    else
        firmware=(-device "virtio-blk-pci,drive=disk,bootindex=1")
    fi
    # Without an upgrade nothing starts the guest again, and a kernel that does so in a loop is seen at once.
    [ "$BOOT_UPGRADED" = yes ] || firmware+=(-no-reboot)
    for _ in 1 2 3 4 5; do
        BOOT_PORT=$((20000 + RANDOM % 20000))
        (: </dev/tcp/127.0.0.1/"$BOOT_PORT") 2>/dev/null && continue
        : >"$folder/console"
        rm -f "$folder/agent.in" "$folder/agent.out"
        mkfifo "$folder/agent.in" "$folder/agent.out" || return
        start_child qemu-system-x86_64 -machine "$machine" -cpu "$2" -smp "${CPUS:-2}" -m "$3" \
            -display none -serial "file:$folder/console" -monitor none -drive "$disk" "${firmware[@]}" \
            -cdrom "$folder/seed.iso" \
            -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$BOOT_PORT-$BOOT_ADDRESS:22" \
            -device "virtio-net-pci,netdev=net,mac=$BOOT_MAC" \
            -device virtio-serial -chardev "pipe,id=agent,path=$folder/agent" \
            -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 \
            </dev/null >"$folder/qemu.log" 2>&1
        sleep 1
        child_lives && return
        grep -q 'Could not set up host forwarding' "$folder/qemu.log" || break
    done
    complain "qemu does not start: $(printable <"$folder/qemu.log" | tail -n 1)"
    return 1
}

# guest COMMAND…: as the user of the seed. Not in the foreground, so that a signal to build.sh is heard at once. Under TCG, on a
# host with more to do, a guest may be silent for minutes and still be well.
guest() {
    local status=0 silent=4
    [ "$ACCELERATED" != tcg ] || silent=30
    timeout "${GUEST_LIMIT:-900}" ssh -F none -i "$BOOT_KEY" -p "$BOOT_PORT" -o BatchMode=yes -o IdentitiesOnly=yes \
        -o ConnectTimeout=10 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o ServerAliveInterval=30 -o "ServerAliveCountMax=$silent" tester@127.0.0.1 "$@" <&0 9>&- &
    wait $! || status=$?
    return "$status"
}
