#!/usr/bin/env bats
# get-images.sh against a small server, with curl and with wget, in dash and in BusyBox's sh.
# shellcheck disable=SC2154 # `run` sets stderr

bats_require_minimum_version 1.5.0
load helper

setup() {
    READER=$BATS_TEST_DIRNAME/../get-images.sh
    SERVED=$BATS_TEST_TMPDIR/served
    HERE=$BATS_TEST_TMPDIR/here
    mkdir "$SERVED" "$HERE"
    BIG=debian-13-pve SMALL=debian-12-custom
    head -c 300000 /dev/urandom >"$BATS_TEST_TMPDIR/$BIG.qcow2"
    head -c 70000 /dev/urandom >"$SERVED/$SMALL.qcow2"
    (cd "$SERVED" && split -b 100000 "$BATS_TEST_TMPDIR/$BIG.qcow2" "$BIG.qcow2.part")
    sums
    SHELL_UNDER_TEST=dash
}

teardown() {
    [ -z "${SERVER-}" ] || stop_server
}

# As a publish writes it.
sums() {
    (cd "$SERVED" && sha256sum ./*.qcow2 ./*.part* | sed 's,\./,,' >SHA256SUMS)
    echo "$(sha256sum <"$BATS_TEST_TMPDIR/$BIG.qcow2" | cut -c 1-64)  $BIG.qcow2" >>"$SERVED/SHA256SUMS"
}

serve() {
    listening "$BATS_TEST_TMPDIR/requests" python3 "$BATS_TEST_DIRNAME/files-server.py" "$SERVED" "$@"
}

# How many files are here, hidden ones among them.
files_here() {
    find "$HERE" -mindepth 1 | wc -l
}

# A PATH with these tools alone, beside what every system has.
only() {
    mkdir "$BATS_TEST_TMPDIR/bin"
    local tool
    for tool in basename cat chmod cut dd dirname dash grep head ls mkdir mktemp mv printf rm sed sleep sort tail tr wc "$@"; do
        ln -s "$(command -v "$tool")" "$BATS_TEST_TMPDIR/bin/$tool"
    done
    PATH_UNDER_TEST=$BATS_TEST_TMPDIR/bin
}

get() {
    # shellcheck disable=SC2034 # tests look at it
    run --separate-stderr env ${PATH_UNDER_TEST:+"PATH=$PATH_UNDER_TEST"} "$SHELL_UNDER_TEST" "$READER" --url "http://127.0.0.1:$PORT" --dir "$HERE" "$@"
}

# Both images are here, whole, with checksum files that fit; nothing else is.
all_here() {
    cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/$BIG.qcow2"
    cmp "$HERE/$SMALL.qcow2" "$SERVED/$SMALL.qcow2"
    (cd "$HERE" && sha256sum -c --quiet ./*.sha256)
    [ "$(files_here)" -eq 4 ]
}

requests() {
    grep -E "^GET $1 " "$BATS_TEST_TMPDIR/requests"
}

signer() {
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$BATS_TEST_TMPDIR/key"
    echo "releases@example.org $(cat "$BATS_TEST_TMPDIR/key.pub")" >"$BATS_TEST_TMPDIR/allowed_signers"
    sign
}

sign() {
    rm -f "$SERVED/SHA256SUMS.sig"
    ssh-keygen -q -Y sign -n file -f "$BATS_TEST_TMPDIR/key" "$SERVED/SHA256SUMS" 2>/dev/null
}

@test "without a name it says what there is" {
    serve
    get
    [ "$status" -eq 0 ]
    [[ $output == *"debian-12-custom "*" whole"* && $output == *"debian-13-pve "*" 3 parts"* ]]
    [ "$(files_here)" -eq 0 ]
    get --list
    [ "$status" -eq 0 ]
}

@test "all arrives with curl, in dash" {
    serve
    get --all
    [ "$status" -eq 0 ]
    [[ $output == *"debian-13-pve.qcow2: fetched, verified"* ]]
    all_here
    get --all
    [ "$status" -eq 0 ]
    [[ $output == *"debian-13-pve.qcow2: unchanged, verified"* ]]
    [ "$(requests '.*part.*' | wc -l)" -eq 3 ]
}

@test "all arrives with wget and shasum" {
    only wget shasum perl
    serve
    get --all
    [ "$status" -eq 0 ]
    all_here
}

@test "all arrives with BusyBox alone" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    busybox --install -s "$BATS_TEST_TMPDIR/bin"
    PATH_UNDER_TEST=$BATS_TEST_TMPDIR/bin SHELL_UNDER_TEST=sh
    serve "cut:$BIG.qcow2.partab:30000" "cut:$SMALL.qcow2:30000"
    get --all
    [ "$status" -eq 0 ]
    all_here
}

@test "a lost connection is gone on with by curl" {
    serve "cut:$BIG.qcow2.partac:30000" "cut:$BIG.qcow2.partaa:30000"
    get "$BIG"
    [ "$status" -eq 0 ]
    cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/$BIG.qcow2"
    # Each went on where it was.
    requests "$BIG.qcow2.partaa" | grep -q 'bytes=30000-$'
    requests "$BIG.qcow2.partac" | grep -q 'bytes=30000-$'
}

@test "a lost connection is gone on with by wget" {
    only wget sha256sum
    serve "cut:$BIG.qcow2.partab:30000" "cut:$SMALL.qcow2:30000"
    get --all
    [ "$status" -eq 0 ]
    all_here
    requests "$BIG.qcow2.partab" | grep -q 'bytes=30000-$'
}

@test "a server that knows no ranges is asked anew" {
    serve no-ranges "cut:$BIG.qcow2.partab:30000" "cut:$SMALL.qcow2:30000"
    get --all
    [ "$status" -eq 0 ]
    all_here
}

@test "a server that knows no ranges is asked anew by wget" {
    only wget sha256sum
    serve no-ranges "cut:$BIG.qcow2.partab:30000" "cut:$SMALL.qcow2:30000"
    get --all
    [ "$status" -eq 0 ]
    all_here
}

@test "a run that was killed is gone on with, and no byte is fetched twice" {
    serve
    get "$BIG"
    local joined
    joined=$HERE/.$BIG.incomplete-$(cut -c 1-16 "$HERE/$BIG.qcow2.sha256")
    rm "$HERE"/*
    # As killed in the third part, and after the second one alike.
    for at in 230000 200000; do
        head -c "$at" "$BATS_TEST_TMPDIR/$BIG.qcow2" >"$joined"
        echo "200000 2" >"$joined.at"
        mkdir -p "$joined.lock"
        echo 999999 >"$joined.lock/pid"
        : >"$BATS_TEST_TMPDIR/requests"
        get "$BIG"
        [ "$status" -eq 0 ]
        cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/$BIG.qcow2"
        run requests "$BIG.qcow2.parta[ab]"
        [ "$status" -eq 1 ]
        [ "$(files_here)" -eq 2 ]
        rm "$HERE"/*
    done
}

@test "what an earlier run left damaged is fetched once more" {
    serve
    get "$BIG"
    local joined
    joined=$HERE/.$BIG.incomplete-$(cut -c 1-16 "$HERE/$BIG.qcow2.sha256")
    rm "$HERE"/*
    head -c 210000 /dev/zero >"$joined"
    echo "200000 2" >"$joined.at"
    get "$BIG"
    [ "$status" -eq 0 ]
    [[ $stderr == *"once more from the start"* ]]
    cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/$BIG.qcow2"
}

@test "two runs don't write into one file" {
    serve
    get "$BIG"
    local joined
    joined=$HERE/.$BIG.incomplete-$(cut -c 1-16 "$HERE/$BIG.qcow2.sha256")
    rm "$HERE"/*
    mkdir "$joined.lock"
    echo $$ >"$joined.lock/pid"
    get "$BIG"
    [ "$status" -eq 1 ]
    [[ $stderr == *"another run"* ]]
    [ -d "$joined.lock" ]
}

@test "a wrong part never comes under the final name" {
    for tools in curl wget; do
        rm -rf "${BATS_TEST_TMPDIR:?}/bin"
        only "$tools" sha256sum
        printf x | dd of="$SERVED/$BIG.qcow2.partab" bs=1 seek=5 conv=notrunc 2>/dev/null
        serve
        get "$BIG"
        stop_server
        [ "$status" -eq 4 ]
        [[ $stderr == *"$BIG.qcow2.partab"*"SHA256SUMS says"* ]]
        [ ! -e "$HERE/$BIG.qcow2" ]
    done
    SERVER=
}

@test "parts that aren't the whole never come under the final name" {
    sed -i "s/^.*  $BIG.qcow2\$/$(printf '%064d' 0)  $BIG.qcow2/" "$SERVED/SHA256SUMS"
    serve
    get "$BIG"
    [ "$status" -eq 4 ]
    [ "$(files_here)" -eq 0 ]
}

@test "another image of this name is replaced by --force alone" {
    serve
    echo mine >"$HERE/$SMALL.qcow2"
    get "$SMALL"
    [ "$status" -eq 4 ]
    [ "$(cat "$HERE/$SMALL.qcow2")" = mine ]
    get --force "$SMALL"
    [ "$status" -eq 0 ]
    cmp "$HERE/$SMALL.qcow2" "$SERVED/$SMALL.qcow2"
}

@test "names from outside lead nowhere" {
    # shellcheck disable=SC2016 # it is a name
    printf '%064d  ../../evil.qcow2\n%064d  .hidden.qcow2\n%064d  $(touch x).qcow2\n' 0 0 0 >>"$SERVED/SHA256SUMS"
    serve
    get
    [[ $output != *evil* && $output != *hidden* && $output != *touch* ]]
    get ../../evil
    [ "$status" -eq 2 ]
    get debian-11
    [ "$status" -eq 2 ]
    [[ $stderr == *"debian-11"*"debian-12-custom"* ]]
    get --nosuch
    [ "$status" -eq 2 ]
    get --dir
    [ "$status" -eq 2 ]
}

@test "a set without SHA256SUMS is not guessed at" {
    rm "$SERVED/SHA256SUMS"
    serve
    get --all
    [ "$status" -eq 3 ]
    [[ $stderr == *"no SHA256SUMS"* ]]
}

@test "no answer is a failure with what was said" {
    PORT=1
    get --all
    [ "$status" -eq 1 ]
    [[ $stderr == *"http://127.0.0.1:1/SHA256SUMS"* ]]
}

@test "who signed is said" {
    signer
    serve
    get --allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$SMALL"
    [ "$status" -eq 0 ]
    [[ $stderr == *"signed by releases@example.org"* ]]
    get --verify-signature "$SMALL"
    [ "$status" -eq 3 ]
    [[ $stderr == *--allowed-signers* ]]
    get "$SMALL"
    [ "$status" -eq 0 ]
    [[ $stderr == *"a key that nobody here vouches for"*SHA256:* ]]
}

@test "allowed_signers beside the script is the one that counts" {
    signer
    serve
    cp "$READER" "$BATS_TEST_TMPDIR/get-images.sh"
    READER=$BATS_TEST_TMPDIR/get-images.sh
    get --verify-signature "$SMALL"
    [ "$status" -eq 0 ]
    [[ $stderr == *"signed by releases@example.org"* ]]
}

@test "a set that somebody changed is refused when it was signed" {
    signer
    serve
    head -c 70000 /dev/urandom >"$SERVED/$SMALL.qcow2"
    # The image alone; with its checksums; with a signature by another key; without one.
    get --allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$SMALL"
    [ "$status" -eq 4 ]
    sums
    get --allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$SMALL"
    [ "$status" -eq 4 ]
    [[ $stderr == *"not what releases@example.org signed"* ]]
    get "$SMALL"
    [ "$status" -eq 4 ]
    mv "$BATS_TEST_TMPDIR/allowed_signers" "$BATS_TEST_TMPDIR/kept"
    rm "$BATS_TEST_TMPDIR"/key*
    signer
    get --allowed-signers "$BATS_TEST_TMPDIR/kept" "$SMALL"
    [ "$status" -eq 4 ]
    [[ $stderr == *"a key that is not in"* ]]
    rm "$SERVED/SHA256SUMS.sig"
    get --allowed-signers "$BATS_TEST_TMPDIR/kept" "$SMALL"
    [ "$status" -eq 4 ]
    [[ $stderr == *"not signed"* ]]
    [ ! -e "$HERE/$SMALL.qcow2" ]
}
