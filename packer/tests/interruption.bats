#!/usr/bin/env bats
# build.sh when it is stopped, killed, or started twice.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper

setup() {
    setup_packer
    build "$NAME"
    [ "$status" -eq 0 ]
    BEFORE=$(fingerprint)
    rm -f "$STUB_PIDS"
}

# Also after a test that failed on the way: bats waits for each process that holds its output.
teardown() {
    end_processes "${CALLER-}" "${BUILD-}" ${STARTED[@]+"${STARTED[@]}"}
}

# start_hanging: a build that would take five minutes, once packer runs.
start_hanging() {
    export STUB_PACKER=hang
    "$ENGINE/build.sh" --force "$NAME" <"${1:-/dev/null}" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    BUILD=$!
    wait_for two_pids
    mapfile -t STARTED <"$STUB_PIDS"
}

expect_stopped() {
    local status=0
    wait "$BUILD" || status=$?
    [ "$status" -eq "$1" ]
    wait_for all_gone "${STARTED[@]}"
    [ "$(fingerprint)" = "$BEFORE" ]
    [ -z "$(ls -A "$ENGINE/.cache/work")" ]
    no_words_of_bash <"$BATS_TEST_TMPDIR/out"
}

# hold_input: $BATS_TEST_TMPDIR/in is a standard input that stays open as long as $CALLER lives.
hold_input() {
    mkfifo "$BATS_TEST_TMPDIR/in"
    sleep 300 >"$BATS_TEST_TMPDIR/in" 2>/dev/null 3>&- &
    CALLER=$!
}

no_process_of() {
    ! pgrep -f "$1"
}

@test "SIGTERM stops packer and what packer started, and leaves the last good image" {
    start_hanging
    kill -TERM "$BUILD"
    expect_stopped 143
    grep -q 'the last good image is untouched' "$BATS_TEST_TMPDIR/out"
}

@test "SIGHUP does the same" {
    start_hanging
    kill -HUP "$BUILD"
    expect_stopped 129
}

@test "a build that watches its standard input is stopped without a word about the watcher" {
    hold_input
    export PACKER_BUILD_WATCH_STDIN=1
    start_hanging "$BATS_TEST_TMPDIR/in"
    kill -TERM "$BUILD"
    expect_stopped 143
}

@test "Ctrl-C on a terminal does the same" {
    # A shell's background job ignores SIGINT, so it gets a terminal of its own.
    export STUB_PACKER=hang
    python3 - "$ENGINE/build.sh" "$NAME" "$STUB_PIDS" 3>&- <<'PY'
import os, pty, signal, sys, time
build, name, pids = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    # Where the tests themselves run in the background it would be inherited as ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(build, [build, "--force", name])
for _ in range(1200):
    if os.path.exists(pids) and open(pids).read().count("\n") == 2:
        break
    time.sleep(0.05)
os.write(terminal, b"\x03")
try:
    while os.read(terminal, 4096):
        pass
except OSError:
    pass
_, status = os.waitpid(pid, 0)
assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 130, status
PY
    mapfile -t STARTED <"$STUB_PIDS"
    wait_for all_gone "${STARTED[@]}"
    [ "$(fingerprint)" = "$BEFORE" ]
}

@test "build.sh killed outright takes packer with it, and the next build cleans up" {
    start_hanging
    kill -KILL "$BUILD"
    wait "$BUILD" || true
    # packer itself gets the kernel's signal; qemu then is packer's to stop.
    wait_for all_gone "${STARTED[1]}"
    [ "$(fingerprint)" = "$BEFORE" ]
    STUB_PACKER=ok build --force "$NAME"
    [ "$status" -eq 0 ]
    [ -z "$(ls -A "$ENGINE/.cache/work")" ]
}

@test "packer that is killed is a failed build, said in words" {
    start_hanging
    kill -KILL "${STARTED[1]}"
    expect_stopped 1
    grep -q 'packer was ended by SIGKILL' "$BATS_TEST_TMPDIR/out"
}

@test "the end of standard input stops the build when it is watched" {
    hold_input
    export PACKER_BUILD_WATCH_STDIN=1
    start_hanging "$BATS_TEST_TMPDIR/in"
    run ! all_gone "${STARTED[@]}"
    kill "$CALLER"
    expect_stopped 129
}

@test "the end of standard input is nothing to a build that does not watch it" {
    build --force "$NAME" </dev/null
    [ "$status" -eq 0 ]
    [ "${lines[-1]}" = "1 built, 0 unchanged, 0 failed" ]
}

@test "a watched build that ends by itself leaves no watcher behind" {
    hold_input
    PACKER_BUILD_WATCH_STDIN=1 build --force "$NAME" <"$BATS_TEST_TMPDIR/in"
    [ "$status" -eq 0 ]
    [ -z "$stderr" ]
    # Killed it is by now; until it is gone may take a moment.
    wait_for no_process_of "$ENGINE/build.sh"
}

@test "a second build of the same image is refused while the first runs; another image is not" {
    start_hanging
    STUB_PACKER=ok build --force "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"another build of this image is running (process $BUILD)"* ]]
    STUB_PACKER=ok build debian-13-custom
    [ "$status" -eq 0 ]
    BEFORE=$(fingerprint)
    kill -TERM "$BUILD"
    expect_stopped 143
}

@test "a crash between the two renames of a swap is healed by the next run" {
    mkdir "$ENGINE/images/.previous"
    mv "$SET" "$ENGINE/images/.previous/$NAME"
    build "$NAME"
    [ "$status" -eq 0 ]
    [ "${lines[-1]}" = "0 built, 1 unchanged, 0 failed" ]
    [ "$(fingerprint)" = "$BEFORE" ]
    [ ! -e "$ENGINE/images/.previous" ]
}

@test "a crash after the swap, before the old image is removed, leaves the new one" {
    mkdir -p "$ENGINE/images/.previous/$NAME"
    echo old >"$ENGINE/images/.previous/$NAME/$NAME.qcow2"
    build "$NAME"
    [ "${lines[-1]}" = "0 built, 1 unchanged, 0 failed" ]
    [ "$(fingerprint)" = "$BEFORE" ]
}
