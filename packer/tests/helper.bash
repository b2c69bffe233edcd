# shellcheck shell=bash
# A packer directory of the test's own, in a repository of its own, with a base image beside it.

setup_packer() {
    ENGINE=$BATS_TEST_TMPDIR/repo/packer
    mkdir -p "$BATS_TEST_TMPDIR/repo"
    local source=$BATS_TEST_DIRNAME/..
    mkdir -p "$ENGINE/templates"
    cp -R "$source"/*.sh "$source/lib" "$source/shared" "$source/.gitignore" "$ENGINE/"
    # The templates that tests name: a new template changes no test.
    cp -R "$source"/templates/debian-{12-custom,13-custom,13-pve} "$ENGINE/templates/"

    BASE=$BATS_TEST_TMPDIR/base.qcow2
    qemu-img create -q -f qcow2 "$BASE" 1M
    # What the stub writes is no system that could boot.
    export BASE_IMAGE_URL=$BASE ACCELERATOR=tcg BOOT_TEST=no
    unset BASE_IMAGE_CHECKSUM MEMORY CPUS DISK_SIZE DEBIAN_MIRROR DEBIAN_SECURITY_MIRROR COMPRESSION SSH_TIMEOUT BOOT_TIMEOUT \
        BOOT_FIRMWARE BOOT_UPGRADE TEST_TIMEOUT OVMF_DIR SSH_PRIVATE_KEY_FILE PACKER_BUILD_WATCH_STDIN STUB_PACKER STUB_VERSION KVM_DEVICE
    export STUB_LOG=$BATS_TEST_TMPDIR/packer.log STUB_PIDS=$BATS_TEST_TMPDIR/pids
    export PATH=$BATS_TEST_DIRNAME/stub:$PATH
    NAME=debian-12-custom
    SET=$ENGINE/images/$NAME
}

commit_all() {
    local git=(git -C "$BATS_TEST_TMPDIR/repo" -c user.name=test -c user.email=test@example.org
        -c commit.gpgsign=false -c init.defaultBranch=main)
    [ -d "$BATS_TEST_TMPDIR/repo/.git" ] || "${git[@]}" init -q --object-format=sha1
    "${git[@]}" add -A
    "${git[@]}" commit -q -m test
    "${git[@]}" rev-parse HEAD
}

build() {
    run --separate-stderr "$ENGINE/build.sh" "$@"
}

# How often packer was asked to build.
builds() {
    [ ! -f "$STUB_LOG" ] || grep -c '^build' "$STUB_LOG" || true
}

# json FILTER: from the record of $NAME.
record() {
    python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    value = value[key] if value is not None else None
print(json.dumps(value))' "$SET/$NAME.build.json" "$1"
}

# wait_for COMMAND…: up to a minute, which a busy machine may need.
wait_for() {
    local tries
    for ((tries = 0; tries < 1200; tries++)); do
        "$@" && return
        sleep 0.05
    done
    echo "gave up waiting for: $*" >&2
    return 1
}

# Whether the hanging packer has written down its process and its child's.
two_pids() {
    [ -f "$STUB_PIDS" ] && [ "$(wc -l <"$STUB_PIDS")" -eq 2 ]
}

# all_gone PID…: none of them runs.
all_gone() {
    local pid state
    for pid in "$@"; do
        state=$(ps -o stat= -p "$pid") || continue
        [[ $state == Z* ]] || return 1
    done
}

# end_processes PID…: what a test started and may not have ended.
end_processes() {
    local pid
    for pid in "$@"; do
        [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    done
}

# no_words_of_bash: standard input has no message of bash about a line of a script or a job.
no_words_of_bash() {
    ! grep -E '\.sh: line [0-9]+:' >&2
}

# What is in images/, with digests, for comparing before and after.
fingerprint() {
    (cd "$ENGINE/images" && find . -type f -exec sha256sum {} + | LC_ALL=C sort -k 2)
}

# stay COMMAND…: runs it with a standard input that stays open, as a terminal's does, and with nothing left behind.
stay() {
    local fifo=$BATS_TEST_TMPDIR/stay
    rm -f "$fifo"
    mkfifo "$fifo"
    # For reading and writing: nobody has to hold the other end.
    run --separate-stderr "$@" 0<>"$fifo"
}

# start_server FOLDER: serves it over http; sets PORT.
start_server() {
    listening "$BATS_TEST_TMPDIR/http.log" python3 -u -m http.server --bind 127.0.0.1 --directory "$1" 0
}

# listening LOG COMMAND…: starts a server whose first line has `port` and its port in one write; sets SERVER and PORT.
listening() {
    local log=$1
    shift
    # Or the port of a server before would be read, until this one's shell gets to empty the file.
    rm -f "$log"
    "$@" >"$log" 2>&1 3>&- &
    SERVER=$!
    wait_for grep -qs 'port [0-9]' "$log"
    # shellcheck disable=SC2034
    PORT=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$log" | head -n 1)
}

stop_server() {
    kill "$SERVER"
    wait "$SERVER" 2>/dev/null || true
}
