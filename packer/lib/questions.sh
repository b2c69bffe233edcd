# shellcheck shell=bash
# What a booted image is asked: questions that every image must answer, the scripts in its template's `tests`, and the
# same again after an upgrade and a reboot. Needs lib/common.sh and lib/boot.sh.

# take_tests NAME: copies the template's tests to $WORK/tests, so that what is asked is what was there when the build began.
# Refuses what could not be run.
take_tests() {
    local file from=$PACKER_DIR/templates/$1/tests status=0 LC_ALL=C
    mkdir -p "$WORK/tests" || return
    [ -d "$from" ] || return 0
    for file in "$from"/*; do
        [ -e "$file" ] || [ -L "$file" ] || continue
        case ${file##*/} in
        *.md) continue ;;
        *[!A-Za-z0-9._-]* | [!A-Za-z0-9]*) complain "$1: a test's name has characters other than A-Z a-z 0-9 . _ -: $(printf %q "${file##*/}")" "rename it" ;;
        *.sh)
            if [ ! -f "$file" ]; then
                complain "$1: tests/${file##*/} is not a file" "remove it"
            elif [ ! -x "$file" ]; then
                complain "$1: tests/${file##*/} is not executable" "run: chmod +x $file"
            elif [ "$(head -c 2 -- "$file" | tr -d '\0')" != '#!' ]; then
                complain "$1: tests/${file##*/} does not begin with #!, so no program can run it" "begin it with #!/bin/bash"
            else
                cp -- "$file" "$WORK/tests/" && continue
            fi
            ;;
        *) continue ;;
        esac
        status=1
    done
    return "$status"
}

# test_names_json: the names of the tests that were asked.
test_names_json() {
    local file names=''
    for file in "$WORK"/tests/*.sh; do
        [ ! -f "$file" ] || names+=${names:+,}$(json_string "${file##*/}")
    done
    printf %s "$names"
}

# boot_fact NAME FOLDER: what the guest said about itself.
boot_fact() {
    sed -n "s/^$1=//p" "$2/facts" | head -n 1
}

# ask_guest NAME STAGE FOLDER SIZE: all questions. STAGE is `first`, or `upgraded`.
ask_guest() {
    local folder=$3 failed=0 status=0
    GUEST_LIMIT=$((BOOT_LIMIT + 900)) guest sudo env LIMIT="$BOOT_LIMIT" "DEBIAN_MIRROR=$(printf %q "$DEBIAN_MIRROR")" \
        "DEBIAN_SECURITY_MIRROR=$(printf %q "$DEBIAN_SECURITY_MIRROR")" bash -s <<<"$(boot_questions)" >"$folder/facts" 2>"$folder/facts.log" || status=$?
    if [ "$status" -ne 0 ]; then
        complain "the guest did not answer all questions (exit code $status): $(printable <"$folder/facts.log" | tail -n 1)"
        return 1
    fi
    check_facts "$2" "$folder" "$4" || failed=1
    if ! agent_answers "$folder"; then
        complain "the guest agent does not answer over its channel"
        failed=1
    fi
    run_tests "$1" "$2" "$folder" || failed=1
    return "$failed"
}

# What is asked of the guest, as a script that prints lines of NAME=value.
boot_questions() {
    cat <<'EOF'
line() { awk '{ printf "%s%s", sep, $1; sep = " " }'; }
status=0
timeout "$LIMIT" cloud-init status --wait >/dev/null 2>&1 || status=$?
# 2 stands for "done, with something to note": what is only outdated is no error.
errors=$(cloud-init status --format json 2>/dev/null | python3 -c '
import json, sys
said = json.load(sys.stdin)
notes = said.get("recoverable_errors") or {}
print("; ".join(said.get("errors") or []), "; ".join(text for kind in notes if kind != "DEPRECATED" for text in notes[kind]))' 2>/dev/null)
[ "$status" -ne 2 ] || [ -n "${errors// /}" ] || status=0
echo "CLOUD_INIT=$status"
echo "CLOUD_INIT_SAYS=$(printf '%s %s' "$errors" "$(cloud-init status --long 2>/dev/null)" | tr '\n' ' ')"
echo "SYSTEM=$(timeout "$LIMIT" systemctl is-system-running --wait)"
echo "FAILED_UNITS=$(systemctl --failed --plain --no-legend | line)"
echo "ADDRESSES=$(ip -4 -o addr show scope global | awk '{ print $4 }' | line)"
# systemd-resolved answers at 127.0.0.53 and knows the servers; else the file names them.
servers=$(sed -n 's/^nameserver[[:space:]]*//p' /etc/resolv.conf)
case $servers in 127.0.0.53*) servers=$(resolvectl dns | sed 's/^[^:]*: *//') ;; esac
echo "DNS=$(printf '%s' "$servers" | tr '\n' ' ')"
echo "AGENT=$(systemctl is-active qemu-guest-agent.service)"
echo "ROOT_BYTES=$(df --output=size -B1 / | tail -n 1 | tr -dc 0-9)"
echo "MACHINE_ID=$(cat /etc/machine-id)"
echo "HOST_KEY=$(awk '{ print $2 }' /etc/ssh/ssh_host_ed25519_key.pub)"
echo "HOST_NAME=$(hostname)"
echo "KERNEL=$(uname -r)"
echo "KERNELS=$(ls /boot/vmlinuz-* | wc -l)"
[ ! -d /sys/firmware/efi ] || echo "SHIM=$(find /boot/efi -iname 'shimx64.efi' 2>/dev/null | head -n 1)"
echo "UNWANTED_MODULES=$(lsmod | awk '$1 ~ /^(cfg80211|floppy|joydev|psmouse|pcspkr)$/ { print $1 }' | line)"
# The mirror of the build, where others cannot be reached.
sources() { find /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/mirrors -type f -exec sed -i -E "$1" {} + 2>/dev/null; }
[ -z "$DEBIAN_SECURITY_MIRROR" ] || sources "s#https?://(deb|security)\.debian\.org/debian-security/?#${DEBIAN_SECURITY_MIRROR%/}/#"
[ -z "$DEBIAN_MIRROR" ] || sources "s#https?://deb\.debian\.org/debian(/|[[:space:]]|\$)#${DEBIAN_MIRROR%/}\1#"
said=$(DEBIAN_FRONTEND=noninteractive timeout "$LIMIT" apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 \
    -o APT::Update::Error-Mode=any update 2>&1 </dev/null) && said=
echo "SOURCES=$(printf '%s' "$said" | grep -E '^[EW]:' | head -n 3 | tr '\n' ' ')${said:+ }"
# What two machines must not share: every key below /etc, and what packages call the machine.
for file in /etc/machine-id /etc/hostid /etc/nvme/hostnqn /etc/nvme/hostid /etc/iscsi/initiatorname.iscsi \
    $(grep -rlE -e '-----BEGIN [A-Z ]*PRIVATE KEY-----' /etc 2>/dev/null); do
    [ ! -s "$file" ] || echo "IDENTITY=$file $(sha256sum <"$file" | cut -c-64)"
done
left=
[ ! -e /var/tmp/image-build ] || left="$left /var/tmp/image-build"
! grep -qs 'image-build' /root/.ssh/authorized_keys || left="$left the build's key"
! grep -q '# image build$' /etc/hosts || left="$left its name in /etc/hosts"
[ ! -e /var/lib/image-first-boot/wanted ] || left="$left identities that the first boot did not make"
[ "$(ls /var/lib/cloud/instances | wc -l)" -eq 1 ] || left="$left its state of cloud-init"
echo "LEFT=${left# }"
echo "BOOTS=$(journalctl --list-boots --quiet --no-pager | grep -c .)"
EOF
}

# check_facts STAGE FOLDER SIZE: names every fact that is not as it must be.
check_facts() {
    local stage=$1 folder=$2 wrong=()
    fact() { boot_fact "$1" "$folder" | printable; }
    case $(fact CLOUD_INIT) in
    0) ;;
    2) wrong+=("cloud-init finished with errors: $(fact CLOUD_INIT_SAYS)") ;;
    124) wrong+=("cloud-init does not finish") ;;
    *) wrong+=("cloud-init failed: $(fact CLOUD_INIT_SAYS)") ;;
    esac
    [ -z "$(fact FAILED_UNITS)" ] || wrong+=("failed units: $(fact FAILED_UNITS)")
    [ "$(fact SYSTEM)" = running ] || [ -n "$(fact FAILED_UNITS)" ] || wrong+=("the system is $(fact SYSTEM)")
    [[ " $(fact ADDRESSES) " == *" $BOOT_ADDRESS/24 "* ]] || wrong+=("its addresses are $(fact ADDRESSES), expected $BOOT_ADDRESS/24")
    [[ " $(fact DNS) " == *" $BOOT_DNS "* ]] || wrong+=("its name servers are $(fact DNS), expected $BOOT_DNS")
    [ "$(fact AGENT)" = active ] || wrong+=("the guest agent's service is $(fact AGENT)")
    [[ $(fact ROOT_BYTES) =~ ^[0-9]+$ ]] && [ "$(fact ROOT_BYTES)" -gt $(($3 * 4 / 5)) ] ||
        wrong+=("the root file system has $(fact ROOT_BYTES) bytes on a disk of $3")
    [[ $(fact MACHINE_ID) =~ ^[0-9a-f]{32}$ ]] || wrong+=("no machine-id")
    [ -n "$(fact HOST_KEY)" ] || wrong+=("no ssh host key")
    [ "$(fact HOST_NAME)" = "$BOOT_HOST" ] || wrong+=("its name is $(fact HOST_NAME), expected $BOOT_HOST")
    [ -z "$(fact SOURCES)" ] || wrong+=("apt-get update fails: $(fact SOURCES)")
    [ -z "$(fact UNWANTED_MODULES)" ] || wrong+=("loaded although blacklisted: $(fact UNWANTED_MODULES)")
    [ -z "$(fact LEFT)" ] || wrong+=("the build left $(fact LEFT)")
    if [ "$stage" = first ]; then
        [ "$(fact KERNELS)" = 1 ] || wrong+=("$(fact KERNELS) kernels in /boot")
        [[ $(fact BOOTS) =~ ^[01]$ ]] || wrong+=("the build left its journal")
    fi
    [ "${#wrong[@]}" -eq 0 ] || complain "${wrong[@]}"
    [ "${#wrong[@]}" -eq 0 ]
}

# agent_answers FOLDER: over the channel that a hypervisor asks, not only as a service that runs.
agent_answers() {
    local line to from answered=1
    exec {to}<>"$1/agent.in" {from}<>"$1/agent.out"
    for _ in 1 2 3; do
        printf '{"execute":"guest-ping"}\n' >&"$to"
        # Of several lines, any: it may answer an earlier question now.
        if IFS= read -r -t 20 -u "$from" line && [[ $line == *'"return"'* ]]; then
            answered=0
            break
        fi
    done
    exec {to}>&- {from}>&-
    return "$answered"
}

# run_tests NAME STAGE FOLDER: the template's own, one after the other; each failure is told with the end of what it printed.
run_tests() {
    local name=$1 stage=$2 folder=$3 file status failed=0 limit=120 log
    [ "$ACCELERATED" != tcg ] || limit=600
    limit=${TEST_TIMEOUT:-$limit}
    for file in "$WORK"/tests/*.sh; do
        [ -f "$file" ] || continue
        log=$folder/${file##*/}.$stage.log status=0
        # shellcheck disable=SC2016 # for the guest's shell
        GUEST_LIMIT=$((limit + 60)) guest "IMAGE=$name STAGE=$stage ADDRESS=$BOOT_ADDRESS HOST=$BOOT_HOST LIMIT=$limit"' bash -c '\''
            file=$(mktemp) && cat >"$file" && chmod 755 "$file" || exit
            sudo env IMAGE="$IMAGE" STAGE="$STAGE" ADDRESS="$ADDRESS" HOST="$HOST" \
                timeout -k 10 "$LIMIT" "$file" </dev/null 2>&1 | tail -c 200000
            status=${PIPESTATUS[0]}
            rm -f "$file"
            exit "$status"'\' <"$file" >"$log" 2>&1 || status=$?
        [ "$status" -ne 0 ] || continue
        failed=1
        case $status in
        124 | 137) complain "tests/${file##*/} ($stage boot) does not end within $limit s; raise the limit with TEST_TIMEOUT" ;;
        *) complain "tests/${file##*/} ($stage boot) failed with exit code $status" ;;
        esac
        printable <"$log" | tail -n 20 | cut -c-500 | while IFS= read -r line; do complain "    $line"; done
        if ! GUEST_LIMIT=60 guest true >/dev/null 2>&1; then
            complain "the guest cannot be reached any more after tests/${file##*/}"
            return 1
        fi
    done
    return "$failed"
}

# upgrade_guest NAME FOLDER: as its user does some day: all that its sources offer, and a reboot.
upgrade_guest() {
    local log=$2/upgrade.log status=0 limit=1200 before=$BOOT_ID
    [ "$ACCELERATED" != tcg ] || limit=7200
    GUEST_LIMIT=$((limit + 60)) guest sudo env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l timeout -k 30 "$limit" \
        apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold full-upgrade </dev/null >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        case $status in
        124 | 137) complain "apt-get full-upgrade does not end within $limit s: it may wait for an answer" ;;
        *) complain "apt-get full-upgrade fails with exit code $status" ;;
        esac
        printable <"$log" | tail -n 15 | cut -c-500 | while IFS= read -r line; do complain "    $line"; done
        return 1
    fi
    say "after the upgrade ($(grep -E '^[0-9]+ upgraded' "$log" | printable | head -n 1)) it is started again"
    guest sudo systemctl reboot >/dev/null 2>&1 || true
    wait_for_login "after an upgrade and a reboot" "$before"
}

# check_machines_differ NAME FIRMWARES: two machines of one image share neither identity nor key, with each other or with the
# machine that built it.
check_machines_differ() {
    local fact firmware value path wrong=() build=${LOG%.log}.serial.log
    for firmware in $2; do
        for fact in MACHINE_ID HOST_KEY; do
            value=$(boot_fact "$fact" "$WORK/boot/$firmware")
            ! grep -qsF -- "$value" "$build" || wrong+=("$(machine_of "$firmware") has the $fact of the machine that built it")
        done
        sed -n 's/^IDENTITY=//p' "$WORK/boot/$firmware/facts" | LC_ALL=C sort -u
    done >"$WORK/identities"
    while IFS= read -r path; do
        wrong+=("two machines have the same $(printable <<<"$path")")
    done < <(LC_ALL=C sort "$WORK/identities" | uniq -d | cut -d ' ' -f 1)
    [ "${#wrong[@]}" -eq 0 ] || complain "${wrong[@]/#/$1: }"
    [ "${#wrong[@]}" -eq 0 ]
}
