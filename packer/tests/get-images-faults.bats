#!/usr/bin/env bats
# get-images.sh where something is wrong: with the line, the disk, the tools, the set, or who else writes.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # bats runs each test in a shell of its own; reader.bash reads what is set

bats_require_minimum_version 1.5.0
load helper
load reader

# clients: each HTTP client that is here, alone in PATH_UNDER_TEST.
with_client() {
    rm -rf "${BATS_TEST_TMPDIR:?}/bin" "$HERE"
    mkdir "$HERE"
    only "$1" sha256sum ssh-keygen
}

@test "a part that differs is given up, also when the line breaks during each transfer" {
    for client in curl wget; do
        with_client "$client"
        printf 'other bytes' | dd of="$SERVED/$BIG.qcow2.partab" bs=1 seek=5 conv=notrunc 2>/dev/null
        serve "from-start:$BIG.qcow2.partab:30000"
        get "$BIG"
        [ "$status" -eq 4 ]
        [[ $stderr == *"SHA256SUMS says"* ]]
        [ "$(requests "$BIG.qcow2.partab" | wc -l)" -lt 10 ]
        [ ! -e "$HERE/$BIG.qcow2" ]
    done
}

@test "bytes that are thrown away are no progress" {
    serve no-ranges "short:$SMALL.qcow2:30000"
    get "$SMALL"
    [ "$status" -eq 1 ]
    [ "$(requests "$SMALL.qcow2" | wc -l)" -lt 12 ]
}

@test "one byte for each connection ends with a failure" {
    serve "short:$SMALL.qcow2:1"
    get "$SMALL"
    [ "$status" -eq 1 ]
    [ "$(requests "$SMALL.qcow2" | wc -l)" -lt 6 ]
    [[ $stderr == *"run this again to continue"* ]]
}

@test "a line that breaks often is gone on with for as long as bytes are kept" {
    serve "short:$SMALL.qcow2:11000"
    get "$SMALL"
    [ "$status" -eq 0 ]
    cmp "$HERE/$SMALL.qcow2" "$SERVED/$SMALL.qcow2"
}

# A second set beside the first one, whose small image is the same and whose big one is new.
new_set() {
    mkdir -p "$SERVED/new"
    cp "$SERVED/latest/$SMALL.qcow2" "$SERVED/new"
    head -c 300000 /dev/urandom >"$BATS_TEST_TMPDIR/new.qcow2"
    (cd "$SERVED/new" && split -b 100000 "$BATS_TEST_TMPDIR/new.qcow2" "$BIG.qcow2.part")
    SERVED=$SERVED/new sums_of "$BATS_TEST_TMPDIR/new.qcow2"
    SERVED=$SERVED/new manifest v0.46 2026-11-30T12:00:00Z
}

@test "a set that is replaced while it is fetched is finished from the release that keeps it" {
    as_release
    new_set
    serve "on:$BIG.qcow2.partab:1:mv $SERVED/latest $SERVED/images-v0.45; mv $SERVED/new $SERVED/latest"
    get --all
    [ "$status" -eq 0 ]
    [[ $stderr == *"\`latest\` is newer now"*"images-v0.45"* ]]
    all_here
}

@test "a set that is replaced and kept nowhere gives way to the new one" {
    rm -r "$SERVED"
    for client in curl wget; do
        with_client "$client"
        SERVED=$BATS_TEST_TMPDIR/served
        cp -R "$BATS_TEST_TMPDIR/first" "$SERVED"
        as_release
        new_set
        serve "on:$BIG.qcow2.partab:1:mv $SERVED/latest $SERVED/gone; mv $SERVED/new $SERVED/latest"
        get "$SMALL" "$BIG"
        [ "$status" -eq 0 ]
        [[ $stderr == *"starting again with the new set"* ]]
        [[ $output == *"$SMALL.qcow2: unchanged, verified"* ]]
        cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/new.qcow2"
        [ "$(files_here)" -eq 4 ]
        stop_servers
    done
}

@test "a part that is gone with its set is no reason to give up" {
    as_release
    new_set
    rm "$SERVED/new/$BIG.qcow2".part*
    cp "$BATS_TEST_TMPDIR/new.qcow2" "$SERVED/new/$BIG.qcow2"
    SERVED=$SERVED/new sums_of "$BATS_TEST_TMPDIR/new.qcow2"
    serve "on:$BIG.qcow2.partac:1:rm -r $SERVED/latest; mv $SERVED/new $SERVED/latest"
    get "$BIG"
    [ "$status" -eq 0 ]
    cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/new.qcow2"
}

@test "checksums and signature of two sets are not taken for a forgery" {
    as_release
    signer
    new_set
    SERVED=$SERVED/new sign
    serve "on:SHA256SUMS.sig:1:mv $SERVED/latest $SERVED/images-v0.45; mv $SERVED/new $SERVED/latest"
    get --allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$BIG"
    [ "$status" -eq 0 ]
    cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/new.qcow2"
}

@test "a full disk is said at once" {
    for client in curl wget; do
        with_client "$client"
        serve
        # As a file system that has no more room, or a quota, ends a write.
        printf '#!/bin/bash\nulimit -f 100\nexec dash "$@"\n' >"$BATS_TEST_TMPDIR/limited"
        chmod +x "$BATS_TEST_TMPDIR/limited"
        SHELL_UNDER_TEST=$BATS_TEST_TMPDIR/limited
        get "$BIG"
        [ "$status" -eq 1 ]
        [[ $stderr == *"writing $HERE"*"free some space"* ]]
        [ "$(requests "$BIG.qcow2.part.*" | wc -l)" -lt 3 ]
        stop_servers
    done
}

@test "a person's own settings of curl and wget add nothing" {
    export HOME=$BATS_TEST_TMPDIR/home
    mkdir "$HOME"
    printf '%s\n' include 'write-out = "\nfetched %{url_effective}\n"' remote-name-all "output = \"$HOME/elsewhere\"" \
        "dump-header -" "trace-ascii $HOME/trace" "range = 5-9" "user-agent=me" >"$HOME/.curlrc"
    printf '%s\n' 'save_headers = on' "output_document = $HOME/elsewhere" 'start_pos = 5' >"$HOME/.wgetrc"
    for client in curl wget; do
        with_client "$client"
        serve
        get --all
        [ "$status" -eq 0 ]
        all_here
        [ ! -e "$HOME/elsewhere" ]
        stop_servers
    done
}

@test "a person's proxy is used" {
    export HOME=$BATS_TEST_TMPDIR/home
    mkdir "$HOME"
    serve
    echo "proxy = 127.0.0.1:1" >"$HOME/.curlrc"
    get
    [ "$status" -eq 1 ]
}

@test "who writes into the file of a download is not taken for a forger" {
    for client in curl wget; do
        with_client "$client"
        serve "slow:$SMALL.qcow2:40000"
        (while sleep 0.3; do for file in "$HERE"/.*.incomplete-*; do [ ! -f "$file" ] || echo x >>"$file"; done; done) 3>&- &
        local other=$!
        get "$SMALL"
        kill "$other"
        [ "$status" -eq 1 ]
        [[ $stderr == *"another program writes to"* ]]
        stop_servers
    done
}

@test "ssh-keygen that can't check signatures is as good as none" {
    signer
    serve
    for words in "unknown option -- Y" 'Unsupported operation for -Y: "find-principals"' "Segmentation fault"; do
        stub ssh-keygen "echo '$words' >&2; [ 'Segmentation fault' != '$words' ] || exit 139; exit 1"
        get --allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$SMALL"
        [ "$status" -eq 3 ]
        [[ $stderr == *"can't check signatures"* ]]
        get --force "$SMALL"
        [ "$status" -eq 0 ]
    done
}

@test "a login page is no forged list" {
    echo "<html>Please log in</html>" >"$SERVED/SHA256SUMS"
    serve
    get "$SMALL"
    [ "$status" -eq 1 ]
    [[ $stderr == *"login page"* ]]
}

# A run in the background that has begun to fetch; sets RUN.
begun() {
    dash "$READER" --url "http://127.0.0.1:$PORT" --dir "$HERE" "$@" >"$BATS_TEST_TMPDIR/first.out" 2>&1 3>&- &
    RUN=$!
    wait_for something_came
}

something_came() {
    [ -n "$(find "$HERE" -name '.*.incomplete-*' -size +0)" ]
}

@test "a signal is heeded within a second, and leaves no lock" {
    serve "slow:$SMALL.qcow2:1000"
    for signal in TERM HUP; do
        begun "$SMALL"
        kill -s "$signal" "$RUN"
        SECONDS=0
        wait "$RUN" || [ $? -gt 128 ]
        [ "$SECONDS" -le 1 ]
        [ ! -e "$HERE/.$SMALL.lock" ]
    done
}

@test "two runs don't write into one file, and one that was killed keeps nobody out" {
    serve "slow:$SMALL.qcow2:5000"
    begun "$SMALL"
    get "$SMALL"
    [ "$status" -eq 1 ]
    [[ $stderr == *"another run is downloading $SMALL to $HERE"* ]]
    kill -KILL "$RUN"
    wait "$RUN" || true
    stop_servers
    serve
    get "$SMALL"
    [ "$status" -eq 0 ]
    cmp "$HERE/$SMALL.qcow2" "$SERVED/$SMALL.qcow2"
    requests "$SMALL.qcow2" | grep -q 'bytes=[1-9]'
    [ "$(files_here)" -eq 2 ]
}

@test "runs in two containers don't write into one file" {
    unshare --pid --fork true 2>/dev/null || skip "no namespaces here"
    serve "slow:$SMALL.qcow2:20000"
    local number
    for number in 1 2; do
        unshare --pid --fork dash "$READER" --url "http://127.0.0.1:$PORT" --dir "$HERE" "$SMALL" >"$BATS_TEST_TMPDIR/$number.out" 2>&1 3>&- &
        eval "pid_$number=$!"
    done
    local first=0 second=0
    wait "$pid_1" || first=$?
    wait "$pid_2" || second=$?
    [ "$first$second" = 01 ] || [ "$first$second" = 10 ]
    cmp "$HERE/$SMALL.qcow2" "$SERVED/$SMALL.qcow2"
    [ "$(files_here)" -eq 2 ]
}

@test "what a proxy says is not what the server says" {
    export HOME=$BATS_TEST_TMPDIR/home
    mkdir "$HOME"
    serve "cut:$SMALL.qcow2:30000"
    local port=$PORT
    # Five small files and the first transfer pass; when it goes on, the line dies twice behind the proxy's 200.
    listening "$BATS_TEST_TMPDIR/proxied" python3 "$BATS_TEST_DIRNAME/files-server.py" "$SERVED" proxy:4
    SERVERS="$SERVERS $SERVER"
    printf '%s\n' "proxy = 127.0.0.1:$PORT" proxytunnel >"$HOME/.curlrc"
    PORT=$port
    get "$SMALL"
    [ "$status" -eq 1 ]
    grep -q "GET $SMALL.qcow2" "$BATS_TEST_TMPDIR/requests"
    [ "$(find "$HERE" -name '.*.incomplete-*' -size +29000c | wc -l)" -eq 1 ]
}

@test "a curl that may write nowhere is enough" {
    local real
    real=$(command -v curl)
    stub curl "for word; do case \$word in -o | -O | -D | /*) echo 'curl: (23) Failure writing output' >&2; exit 23 ;; esac; done; exec $real \"\$@\""
    serve "cut:$SMALL.qcow2:30000"
    get "$SMALL"
    [ "$status" -eq 0 ]
    cmp "$HERE/$SMALL.qcow2" "$SERVED/$SMALL.qcow2"
}

@test "a folder in an image's place is named, also with --force" {
    serve
    local place
    for place in "$SMALL.qcow2" "$SMALL.qcow2.sha256"; do
        mkdir "$HERE/$place"
        for force in --all --force; do
            get "$force" "$SMALL"
            [ "$status" -eq 1 ]
            [[ $stderr == *"$HERE/$place is not a regular file"* ]]
        done
        rmdir "$HERE/$place"
    done
    mkdir "$BATS_TEST_TMPDIR/folder"
    ln -s "$BATS_TEST_TMPDIR/folder" "$HERE/$SMALL.qcow2"
    get --force "$SMALL"
    [ "$status" -eq 1 ]
    [ -z "$(ls -A "$BATS_TEST_TMPDIR/folder")" ]
}

@test "the reason why a key counts for nothing is the right one" {
    signer
    serve
    local key allowed=$BATS_TEST_TMPDIR/allowed_signers
    key=$(cat "$BATS_TEST_TMPDIR/key.pub")
    while IFS='|' read -r options words; do
        echo "releases@example.org $options $key" >"$allowed"
        get --allowed-signers "$allowed" "$SMALL"
        [ "$status" -eq 4 ]
        [[ $stderr == *"does not allow"*"line 1"*"$words"* ]]
        [[ $stderr != *"is not what"* && $stderr != *"not in"* ]]
    done <<'TABLE'
namespaces="git"|not permitted
valid-before="20200101"|expired
valid-after="20400101"|not yet valid
TABLE
    # One line of several is enough.
    printf '%s\n' "old@example.org valid-before=\"20200101\" $key" "git@example.org namespaces=\"git\" $key" "new@example.org $key" >"$allowed"
    get --allowed-signers "$allowed" "$SMALL"
    [ "$status" -eq 0 ]
    [[ $stderr == *"signed by new@example.org"* ]]
    echo garbage >"$SERVED/SHA256SUMS.sig"
    get --allowed-signers "$allowed" "$SMALL"
    [ "$status" -eq 4 ]
    [[ $stderr == *"is not a signature"* ]]
}

@test "what is refused for good is not to be tried again" {
    for client in curl wget; do
        with_client "$client"
        stub sleep "exec $(command -v sleep) 0.01"
        serve "short:$BIG.qcow2.partaa:1"
        rm -f "$SERVED/$BIG.qcow2.partab"
        get "$BIG"
        [ "$status" -eq 1 ]
        [[ $stderr == *"run this again to continue"* ]]
        stop_servers
        serve
        get "$BIG"
        [ "$status" -eq 1 ]
        [[ $stderr == *"partab"*404* && $stderr != *"again to continue"* ]]
        stop_servers
    done
}

@test "a file system that knows no modes gets images too" {
    stub chmod "echo 'chmod: Operation not permitted' >&2; exit 1"
    serve
    get --all
    [ "$status" -eq 0 ]
    all_here
}

@test "a list of who may sign that can't be read is not an empty one" {
    serve
    cp "$READER" "$BATS_TEST_TMPDIR/get-images.sh"
    READER=$BATS_TEST_TMPDIR/get-images.sh
    mkdir "$BATS_TEST_TMPDIR/allowed_signers"
    get "$SMALL"
    [ "$status" -eq 3 ]
    rmdir "$BATS_TEST_TMPDIR/allowed_signers"
    ln -s nowhere "$BATS_TEST_TMPDIR/allowed_signers"
    get "$SMALL"
    [ "$status" -eq 3 ]
    rm "$BATS_TEST_TMPDIR/allowed_signers"
    printf '# caf\351\0\nreleases@example.org ssh-ed25519 AAAA\n' >"$BATS_TEST_TMPDIR/allowed_signers"
    get "$SMALL"
    [ "$status" -eq 4 ]
}

@test "links that somebody planted lead nowhere" {
    local victim=$BATS_TEST_TMPDIR/victim digest
    echo precious >"$victim"
    digest=$(sha256sum <"$SERVED/$SMALL.qcow2" | cut -c 1-16)
    serve
    local name
    for name in "$SMALL.qcow2.sha256" ".$SMALL.incomplete-$digest" ".$SMALL.incomplete-$digest.at" ".$SMALL.lock" .images-seen; do
        ln -s "$victim" "$HERE/$name"
    done
    get "$SMALL"
    [ "$status" -eq 0 ]
    [ "$(cat "$victim")" = precious ]
    cmp "$HERE/$SMALL.qcow2" "$SERVED/$SMALL.qcow2"
    rm "$HERE/$SMALL.qcow2"
    ln "$victim" "$HERE/.$SMALL.incomplete-$digest"
    get "$SMALL"
    [ "$status" -eq 0 ]
    [ "$(cat "$victim")" = precious ]
}

@test "no read is endless" {
    for client in curl wget; do
        with_client "$client"
        serve endless:SHA256SUMS
        get
        [ "$status" -eq 1 ]
        [[ $stderr == *"too large"* ]]
        stop_servers
        manifest v0.45
        serve "endless:$SMALL.qcow2"
        get "$SMALL"
        # What was promised came; or it did not end there, and was not kept.
        [ "$status" -eq 0 ] || [ "$status" -eq 4 ]
        [ -z "$(find "$HERE" -size +80000c)" ]
        stop_servers
    done
}

@test "a server that lets bytes drip is given up" {
    for client in curl wget; do
        with_client "$client"
        stub sleep "exec $(command -v sleep) 0.05"
        serve "slow:$SMALL.qcow2:10"
        get "$SMALL"
        [ "$status" -eq 1 ]
        [[ $stderr == *"less than 1 KiB/s"* ]]
        stop_servers
    done
}

@test "nothing from outside reaches the terminal raw" {
    signer
    local key
    key=$(cat "$BATS_TEST_TMPDIR/key.pub")
    printf '"evil\033[2J@example.org" %s\n' "$key" >"$BATS_TEST_TMPDIR/allowed_signers"
    serve
    get --allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$SMALL"
    [[ $output$stderr != *$'\033'* ]]
    stub curl "printf 'curl: (22) The requested URL returned error: 500 \033[2J\n' >&2; exit 22"
    get "$SMALL"
    [ "$status" -eq 1 ]
    [[ $output$stderr != *$'\033'* ]]
}

@test "no redirect leads from https to http" {
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$BATS_TEST_TMPDIR/tls" -out "$BATS_TEST_TMPDIR/certificate" 2>/dev/null
    cat "$BATS_TEST_TMPDIR/certificate" >>"$BATS_TEST_TMPDIR/tls"
    export HOME=$BATS_TEST_TMPDIR/home
    mkdir "$HOME"
    echo "cacert = $BATS_TEST_TMPDIR/certificate" >"$HOME/.curlrc"
    echo "ca_certificate = $BATS_TEST_TMPDIR/certificate" >"$HOME/.wgetrc"
    serve
    local plain=$PORT
    listening "$BATS_TEST_TMPDIR/tls.log" python3 "$BATS_TEST_DIRNAME/files-server.py" "$SERVED" "tls:$BATS_TEST_TMPDIR/tls" "to:http://127.0.0.1:$plain"
    SERVERS="$SERVERS $SERVER"
    for client in curl wget; do
        with_client "$client"
        get --url "https://127.0.0.1:$PORT" "$SMALL"
        [ "$status" -eq 1 ]
        [ ! -e "$HERE/$SMALL.qcow2" ]
    done
}

@test "each shell that is here does the same" {
    for shell in dash bash "bash --posix" mksh "busybox sh" yash; do
        command -v "${shell%% *}" >/dev/null || continue
        rm -rf "$HERE"
        SHELL_UNDER_TEST=$shell
        serve "cut:$BIG.qcow2.partab:30000"
        get --all
        [ "$status" -eq 0 ]
        all_here
        stop_servers
    done
}

@test "wget 2 alone is enough" {
    command -v wget2 >/dev/null || skip "no wget2 here"
    only wget2 sha256sum
    mv "$BATS_TEST_TMPDIR/bin/wget2" "$BATS_TEST_TMPDIR/bin/wget"
    serve "cut:$BIG.qcow2.partab:30000" "cut:$SMALL.qcow2:30000"
    get --all
    [ "$status" -eq 0 ]
    all_here
    stop_servers
    rm "$SERVED/SHA256SUMS"
    serve
    get
    [ "$status" -eq 3 ]
}
