# shellcheck shell=bash
# Boots a finished image as its user's hypervisor does, before it replaces the last good one: on an overlay, with a seed
# on a CD, once on each machine type. Needs lib/common.sh, lib/children.sh and lib/packer.sh.

# `pc` has the CD on IDE, `q35` on SATA.
BOOT_MACHINES=(pc q35)
# What the seed asks for. QEMU's own DHCP server would give 10.0.2.15, so nothing else leads to this address.
BOOT_ADDRESS=10.0.2.77
BOOT_HOST=booted
BOOT_CONSOLE_LINES=40

# boot_test NAME IMAGE: sets BOOT_PROOF to the record's JSON, or to null where BOOT_TEST says no.
boot_test() {
    local machine folder started seconds machines='' kernel=''
    BOOT_PROOF=null
    # shellcheck disable=SC2153 # a setting of build.sh
    if [ "$BOOT_TEST" = no ]; then
        say "not booted, as BOOT_TEST=no says; the record says so"
        return
    fi
    for machine in "${BOOT_MACHINES[@]}"; do
        folder=$WORK/boot/$machine
        started=$SECONDS
        say "booting it on $machine"
        if ! boot_on "$1" "$2" "$machine" "$folder"; then
            stop_child
            complain "$1 fails its boot on $machine; the console's last lines:"
            printable 2>/dev/null <"$folder/console" | without_key_pictures | tail -n "$BOOT_CONSOLE_LINES" |
                sed 's/^/    /' | tee -a -- "$LOG" >&2
            cp -- "$folder/console" "${LOG%.log}.boot-$machine.serial.log" 2>/dev/null || true
            return 1
        fi
        seconds=$((SECONDS - started))
        kernel=$(boot_fact KERNEL "$folder")
        say "boots on $machine, $seconds s with its checks"
        machines+=${machines:+,}$(printf '{"type":"%s","seconds":%d}' "$machine" "$seconds")
    done
    check_machines_differ "$1" || return
    # shellcheck disable=SC2034 # lib/image-set.sh reads it
    BOOT_PROOF=$(printf '{"machines":[%s],"accelerator":"%s","kernel":%s}' "$machines" "$ACCELERATED" "$(json_string "$kernel")")
}

# The guest's console is whatever the guest wrote there.
printable() {
    tr -d '\r' | LC_ALL=C sed 's/\x1b\[[0-9;?]*[A-Za-z]//g' | LC_ALL=C tr -cd '\11\12\40-\176'
}

# Host keys fill a screen, and what went wrong stands above them.
without_key_pictures() {
    grep -vE 'cloud-init\[[0-9]+\]: (\||\+--|Generating public|Your |The key)' || true
}

# boot_fact NAME FOLDER: what the guest said about itself.
boot_fact() {
    sed -n "s/^$1=//p" "$2/facts" | head -n 1
}

# boot_on NAME IMAGE MACHINE FOLDER
boot_on() {
    local name=$1 image=$2 machine=$3 folder=$4 size cpu=host limit=300 deadline status=0
    if [ "$ACCELERATED" = tcg ]; then
        cpu=max limit=1800
    fi
    deadline=$((SECONDS + ${BOOT_TIMEOUT:-$limit}))
    mkdir -p "$folder" || return
    size=$(qemu-img info --output=json -- "$image" | sed -n 's/^ *"virtual-size": \([0-9]*\),*$/\1/p' | head -n 1)
    # A gigabyte more than the image: the root file system must grow into it.
    size=$((size + 1024 * 1024 * 1024))
    qemu-img create -q -f qcow2 -F qcow2 -b "$image" "$folder/disk.qcow2" "$size" || return
    make_boot_seed "$name" "$machine" "$folder" || return
    start_guest "$machine" "$cpu" "${MEMORY:-$(template_default "$name" memory)}" "$folder" || return

    until guest true >/dev/null 2>&1; do
        if ! child_lives; then
            complain "qemu ended before the guest could be reached: $(printable <"$folder/qemu.log" | tail -n 1)"
            return 1
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            complain "no login at the address that the seed asks for within ${BOOT_TIMEOUT:-$limit} s" \
                "the network, the user or the key of the seed did not come about; BOOT_TIMEOUT gives the guest more seconds"
            return 1
        fi
        sleep 1 &
        wait $!
    done
    guest sudo LIMIT="$((deadline > SECONDS ? deadline - SECONDS : 1))" bash -s <<<"$(boot_questions)" >"$folder/facts" 2>"$folder/facts.log" || {
        complain "the guest does not answer: $(printable <"$folder/facts.log" | tail -n 1)"
        return 1
    }
    check_facts "$folder" "$size" || return
    guest sudo systemctl poweroff >/dev/null 2>&1 || true
    deadline=$((SECONDS + limit / 2))
    while child_lives; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            complain "it does not power off within $((limit / 2)) s"
            return 1
        fi
        sleep 1 &
        wait $!
    done
    wait "$CHILD" 2>/dev/null || status=$?
    CHILD=
    [ "$status" -eq 0 ] || complain "qemu ended with $status: $(printable <"$folder/qemu.log" | tail -n 1)"
    return "$status"
}

# make_boot_seed NAME MACHINE FOLDER: as Proxmox VE writes it, with a static address.
make_boot_seed() {
    local seed=$3/seed iso
    BOOT_KEY=$3/key
    BOOT_MAC=52:54:00:15:00:$(printf '%02x' "$((RANDOM % 256))")
    mkdir -p "$seed" || return
    ssh-keygen -q -t ed25519 -N '' -C boot -f "$BOOT_KEY" || return
    # Proxmox VE's cluster service starts only where the host's name stands for an address of its own.
    cat >"$seed/user-data" <<EOF
#cloud-config
hostname: $BOOT_HOST
users:
  - name: tester
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys: ["$(<"$BOOT_KEY.pub")"]
ssh_genkeytypes: [ed25519]
locale: false
package_update: false
bootcmd:
  - [sh, -c, "grep -qw $BOOT_HOST /etc/hosts || echo '$BOOT_ADDRESS $BOOT_HOST.localdomain $BOOT_HOST' >>/etc/hosts"]
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
    address: [10.0.2.3]
    search: [localdomain]
EOF
    iso=$(command -v xorriso || command -v mkisofs || command -v genisoimage) || return
    if [ "${iso##*/}" = xorriso ]; then
        xorriso -as mkisofs -quiet -V cidata -J -r -o "$3/seed.iso" "$seed" >/dev/null 2>&1
    else
        "$iso" -quiet -V cidata -J -r -o "$3/seed.iso" "$seed" >/dev/null 2>&1
    fi
}

# start_guest MACHINE CPU MEMORY FOLDER: sets BOOT_PORT. Somebody else may take the port between the look and the start:
# then another is tried.
start_guest() {
    local folder=$4
    for _ in 1 2 3 4 5; do
        BOOT_PORT=$((20000 + RANDOM % 20000))
        (: </dev/tcp/127.0.0.1/"$BOOT_PORT") 2>/dev/null && continue
        : >"$folder/console"
        start_child qemu-system-x86_64 -machine "$1,accel=$ACCELERATED" -cpu "$2" -smp "${CPUS:-2}" -m "$3" \
            -display none -no-reboot -serial "file:$folder/console" -monitor none \
            -drive "file=$folder/disk.qcow2,format=qcow2,if=virtio,cache=unsafe" -cdrom "$folder/seed.iso" \
            -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$BOOT_PORT-$BOOT_ADDRESS:22" \
            -device "virtio-net-pci,netdev=net,mac=$BOOT_MAC" \
            -device virtio-serial -chardev null,id=agent -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 \
            </dev/null >"$folder/qemu.log" 2>&1
        sleep 1
        child_lives && return
        grep -q 'Could not set up host forwarding' "$folder/qemu.log" || break
    done
    complain "qemu does not start: $(printable <"$folder/qemu.log" | tail -n 1)"
    return 1
}

# guest COMMAND…: as the user of the seed. Not in the foreground, so that a signal to build.sh is heard at once.
guest() {
    local status=0
    timeout 900 ssh -F none -i "$BOOT_KEY" -p "$BOOT_PORT" -o BatchMode=yes -o IdentitiesOnly=yes \
        -o ConnectTimeout=10 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o ServerAliveInterval=30 tester@127.0.0.1 "$@" <&0 9>&- &
    wait $! || status=$?
    return "$status"
}

# What is asked of the guest, as a script that prints lines of NAME=value.
boot_questions() {
    cat <<'EOF'
status=0
timeout "$LIMIT" cloud-init status --wait >/dev/null 2>&1 || status=$?
echo "CLOUD_INIT=$status"
echo "CLOUD_INIT_SAYS=$(cloud-init status --long 2>/dev/null | tr '\n' ' ')"
echo "SYSTEM=$(timeout "$LIMIT" systemctl is-system-running --wait)"
echo "FAILED_UNITS=$(systemctl --failed --plain --no-legend | awk '{ printf "%s%s", sep, $1; sep = " " }')"
echo "ADDRESSES=$(ip -4 -o addr show scope global | awk '{ printf "%s%s", sep, $4; sep = " " }')"
echo "AGENT=$(systemctl is-active qemu-guest-agent.service)"
echo "ROOT_BYTES=$(df --output=size -B1 / | tail -n 1 | tr -dc 0-9)"
echo "MACHINE_ID=$(cat /etc/machine-id)"
echo "HOST_KEY=$(awk '{ print $2 }' /etc/ssh/ssh_host_ed25519_key.pub)"
echo "HOST_NAME=$(hostname)"
echo "KERNEL=$(uname -r)"
echo "KERNELS=$(ls /boot/vmlinuz-* | wc -l)"
echo "UNWANTED_MODULES=$(lsmod | awk '$1 ~ /^(cfg80211|floppy|joydev|psmouse|pcspkr)$/ { printf "%s%s", sep, $1; sep = " " }')"
left=
[ ! -e /var/tmp/image-build ] || left="$left /var/tmp/image-build"
! grep -qs 'image-build' /root/.ssh/authorized_keys || left="$left the build's key"
! grep -q '# image build$' /etc/hosts || left="$left its name in /etc/hosts"
[ "$(ls /var/lib/cloud/instances | wc -l)" -eq 1 ] || left="$left its state of cloud-init"
[ "$(journalctl --list-boots --quiet --no-pager | grep -c .)" -le 1 ] || left="$left its journal"
echo "LEFT=${left# }"
EOF
}

# check_facts FOLDER SIZE: names every fact that is not as it must be.
check_facts() {
    local folder=$1 wrong=()
    fact() { boot_fact "$1" "$folder" | printable; }
    # 2 stands for "done, with something recoverable to note".
    case $(fact CLOUD_INIT) in
    0 | 2) ;;
    124) wrong+=("cloud-init does not finish") ;;
    *) wrong+=("cloud-init failed: $(fact CLOUD_INIT_SAYS)") ;;
    esac
    [ -z "$(fact FAILED_UNITS)" ] || wrong+=("failed units: $(fact FAILED_UNITS)")
    [ "$(fact SYSTEM)" = running ] || [ -n "$(fact FAILED_UNITS)" ] || wrong+=("the system is $(fact SYSTEM)")
    [[ " $(fact ADDRESSES) " == *" $BOOT_ADDRESS/24 "* ]] || wrong+=("its addresses are $(fact ADDRESSES), asked for was $BOOT_ADDRESS/24")
    [ "$(fact AGENT)" = active ] || wrong+=("the guest agent's service is $(fact AGENT)")
    [[ $(fact ROOT_BYTES) =~ ^[0-9]+$ ]] && [ "$(fact ROOT_BYTES)" -gt $(($2 * 4 / 5)) ] ||
        wrong+=("the root file system has $(fact ROOT_BYTES) bytes on a disk of $2")
    [[ $(fact MACHINE_ID) =~ ^[0-9a-f]{32}$ ]] || wrong+=("no machine-id")
    [ -n "$(fact HOST_KEY)" ] || wrong+=("no ssh host key")
    [ "$(fact HOST_NAME)" = "$BOOT_HOST" ] || wrong+=("its name is $(fact HOST_NAME), asked for was $BOOT_HOST")
    [ "$(fact KERNELS)" = 1 ] || wrong+=("$(fact KERNELS) kernels in /boot")
    [ -z "$(fact UNWANTED_MODULES)" ] || wrong+=("loaded in spite of the blacklist: $(fact UNWANTED_MODULES)")
    [ -z "$(fact LEFT)" ] || wrong+=("the build left $(fact LEFT)")
    [ "${#wrong[@]}" -eq 0 ] || complain "${wrong[@]}"
    [ "${#wrong[@]}" -eq 0 ]
}

# check_machines_differ NAME: two machines of one image share neither identity nor host key, with each other or with the
# machine that built it.
check_machines_differ() {
    local fact machine value seen wrong=() build=${LOG%.log}.serial.log
    for fact in MACHINE_ID HOST_KEY; do
        seen=
        for machine in "${BOOT_MACHINES[@]}"; do
            value=$(boot_fact "$fact" "$WORK/boot/$machine")
            [ "$value" != "$seen" ] || wrong+=("two machines have the same $fact")
            ! grep -qsF -- "$value" "$build" || wrong+=("$machine has the $fact of the machine that built it")
            seen=$value
        done
    done
    [ "${#wrong[@]}" -eq 0 ] || complain "${wrong[@]/#/$1: }"
    [ "${#wrong[@]}" -eq 0 ]
}
