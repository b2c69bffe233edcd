#!/usr/bin/env bats
# build.sh started over a real ssh connection, as `cargo xtask packer build-and-fetch` does.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper

setup() {
    setup_packer
    [ -x /usr/sbin/sshd ] || skip "sshd is not installed (openssh-server)"
    SSH=$BATS_TEST_TMPDIR/ssh
    mkdir -m 700 "$SSH"
    ssh-keygen -q -t ed25519 -N '' -f "$SSH/host"
    ssh-keygen -q -t ed25519 -N '' -f "$SSH/client"
    cp "$SSH/client.pub" "$SSH/authorized_keys"
    # sshd as root wants its own empty folder.
    [ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
    local tries
    for tries in 1 2 3 4 5; do
        SSH_PORT=$((20000 + RANDOM % 20000))
        cat >"$SSH/config" <<EOF
Port $SSH_PORT
ListenAddress 127.0.0.1
HostKey $SSH/host
AuthorizedKeysFile $SSH/authorized_keys
StrictModes no
UsePAM no
PidFile $SSH/pid
EOF
        /usr/sbin/sshd -f "$SSH/config" -E "$SSH/log" && wait_for test -s "$SSH/pid" && break
    done
    [ -s "$SSH/pid" ] || { echo "no sshd after $tries tries" >&2 && cat "$SSH/log" >&2 && return 1; }
    REMOTE=(ssh -F none -i "$SSH/client" -p "$SSH_PORT" -o BatchMode=yes -o StrictHostKeyChecking=no
        -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR 127.0.0.1)
    # A caller that stays: standard input is open as long as it lives.
    mkfifo "$BATS_TEST_TMPDIR/in"
    sleep 300 >"$BATS_TEST_TMPDIR/in" 2>/dev/null 3>&- &
    CALLER=$!
}

# remote ARGUMENT…: the command line for build.sh on the other side, with this side's settings.
remote() {
    printf '%q ' env PACKER_BUILD_WATCH_STDIN=1 "PATH=$PATH" "BASE_IMAGE_URL=$BASE_IMAGE_URL" ACCELERATOR=tcg BOOT_TEST=no \
        "STUB_PACKER=${STUB_PACKER:-ok}" "STUB_LOG=$STUB_LOG" "STUB_PIDS=$STUB_PIDS" "$ENGINE/build.sh" "$@"
}

nothing_left() {
    [ -z "$(ls -A "$ENGINE/.cache/work")" ]
}

teardown() {
    end_processes "${CALLER-}" ${STARTED[@]+"${STARTED[@]}"}
    [ ! -s "${SSH-}/pid" ] || kill "$(<"$SSH/pid")"
}

@test "a build over ssh without a terminal gives its output and its exit code" {
    run --separate-stderr "${REMOTE[@]}" "$(remote "$NAME")" <"$BATS_TEST_TMPDIR/in"
    [ "$status" -eq 0 ]
    [ "${lines[-1]}" = "1 built, 0 unchanged, 0 failed" ]
    run --separate-stderr "${REMOTE[@]}" "$(STUB_PACKER=fail remote --force "$NAME")" <"$BATS_TEST_TMPDIR/in"
    [ "$status" -eq 1 ]
    [[ $stderr == *"the build failed"* ]]
}

@test "a connection that is lost ends the build, packer and what packer started" {
    local connection
    "${REMOTE[@]}" "$(STUB_PACKER=hang remote "$NAME")" <"$BATS_TEST_TMPDIR/in" >/dev/null 2>&1 3>&- &
    connection=$!
    wait_for two_pids
    mapfile -t STARTED <"$STUB_PIDS"
    run ! all_gone "${STARTED[@]}"
    kill -KILL "$connection"
    wait_for all_gone "${STARTED[@]}"
    wait_for nothing_left
}
