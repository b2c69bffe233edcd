# shellcheck shell=bash
# Running long commands so that nothing outlives build.sh: not packer, not qemu, however the build ends.
# Needs lib/common.sh. The caller has a function `clean_up`, called once at the end in any case.

CHILD=
CHILD_STARTING=
# Shells beside this one, each with a child of its own, by their process ids.
SHELLS=()

# start_shell FUNCTION ARGUMENT…: runs it in a shell beside this one, which ends its child when it is told to end, and when
# build.sh is gone.
start_shell() {
    # shellcheck disable=SC2030
    (
        CHILD='' SHELLS=()
        trap - EXIT
        # shellcheck disable=SC2064 # of now
        trap "stop_child; kill \$(jobs -p) 2>/dev/null; exit 143" TERM HUP INT PIPE
        shell=$BASHPID
        (
            trap - TERM HUP INT PIPE
            while [ "$(ps -o ppid= -p "$shell" | tr -d ' ')" = "$$" ]; do sleep 1; done
            kill -TERM "$shell"
        ) >/dev/null 2>&1 9>&- &
        watcher=$!
        status=0
        "$@" || status=$?
        stop_child
        kill "$watcher" 2>/dev/null
        exit "$status"
    ) &
    # shellcheck disable=SC2031
    SHELLS+=("$!")
}

# stop_shells: ends those that still run.
stop_shells() {
    local shell
    for shell in ${SHELLS[@]+"${SHELLS[@]}"}; do
        kill -TERM "$shell" 2>/dev/null || true
    done
    for shell in ${SHELLS[@]+"${SHELLS[@]}"}; do
        wait "$shell" 2>/dev/null || true
    done
    SHELLS=()
}

# start_child COMMAND…: runs it in a session of its own, so that one signal reaches it and all that it
# starts, and a Ctrl-C on the terminal reaches build.sh alone, which then decides. Should build.sh be killed
# outright, the kernel passes a SIGTERM on.
start_child() {
    CHILD_STARTING=1
    if command -v setpriv >/dev/null 2>&1; then
        setsid setpriv --pdeathsig TERM -- "$@" 9>&- &
    else
        setsid -- "$@" 9>&- &
    fi
    CHILD=$!
    CHILD_STARTING=
}

# run_child COMMAND…: waits for it; its status is this function's. A signal to build.sh is handled at once,
# not only when the command ends.
run_child() {
    local status=0
    start_child "$@" </dev/null
    wait_for_child || status=$?
    stop_child
    return "$status"
}

# run_logged COMMAND…: as run_child; its output goes to the terminal and to the log.
run_logged() {
    local status=0 pipe=$WORK/output.pipe tee
    rm -f "$pipe"
    mkfifo "$pipe"
    tee -ia -- "$LOG" <"$pipe" 9>&- &
    tee=$!
    start_child "$@" </dev/null >"$pipe" 2>&1
    wait_for_child || status=$?
    # A process that the command left running would keep the pipe open.
    stop_child
    wait "$tee" 2>/dev/null || true
    rm -f "$pipe"
    return "$status"
}

# Its status, without bash's message about a killed job, which names a line of this file instead of the build.
wait_for_child() {
    wait "$CHILD" 2>/dev/null
}

# Ends the child and its whole group: asked first, then forced.
stop_child() {
    local tries
    if [ -n "$CHILD_STARTING" ]; then
        CHILD=${!-}
    fi
    [ -n "$CHILD" ] || return 0
    if child_lives; then
        signal_child TERM
        for ((tries = 0; tries < 100; tries++)); do
            child_lives || break
            sleep 0.1
        done
        for ((tries = 0; tries < 50; tries++)); do
            child_lives || break
            signal_child KILL
            sleep 0.1
        done
    fi
    CHILD=
}

# Zombies do not count: in a container there may be nobody to collect them.
child_lives() {
    kill -0 "$CHILD" 2>/dev/null || kill -0 -- "-$CHILD" 2>/dev/null || return 1
    ps -e -o pid=,pgid=,stat= | awk -v id="$CHILD" '
        ($1 == id || $2 == id) && $3 !~ /^Z/ { found = 1 }
        END { exit !found }'
}

signal_child() {
    kill "-$1" -- "-$CHILD" 2>/dev/null || kill "-$1" "$CHILD" 2>/dev/null || true
}

# handle_signals: from here on the usual signals stop the child, clean up and exit with 128 + signal.
handle_signals() {
    trap 'end_by_signal INT 130' INT
    trap 'end_by_signal TERM 143' TERM
    trap 'end_by_signal HUP 129' HUP
    trap 'end_by_signal PIPE 141' PIPE
    trap 'end_anyhow' EXIT
}

end_by_signal() {
    trap '' INT TERM HUP PIPE
    stop_child
    stop_shells
    complain "stopped by SIG$1; the last good image is untouched" || true
    exit "$2"
}

end_anyhow() {
    local status=$?
    trap '' INT TERM HUP PIPE
    set +e
    stop_child
    stop_shells
    [ -z "$STDIN_WATCHER" ] || kill -KILL "$STDIN_WATCHER" 2>/dev/null
    clean_up
    exit "$status"
}

STDIN_WATCHER=

# watch_stdin: ends the build when standard input ends. Whoever starts build.sh through a connection keeps
# standard input open while it lives; sshd closes it when the connection is lost. Without this a build that nobody waits
# for any more would hold the host for an hour.
watch_stdin() {
    local main=$$
    exec 7<&0
    (
        trap - EXIT INT TERM HUP PIPE
        exec >/dev/null 2>&1 9>&-
        while read -r; do :; done <&7
        kill -HUP "$main"
    ) &
    STDIN_WATCHER=$!
    # Else bash would tell of its end, in words for whoever wrote this.
    disown "$STDIN_WATCHER"
    exec 7<&- </dev/null
}
