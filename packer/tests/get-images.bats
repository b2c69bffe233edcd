#!/usr/bin/env bats
# get-images.sh against a small server, with curl and with wget, in dash and in BusyBox's sh.
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # bats runs each test in a shell of its own; reader.bash reads what is set

bats_require_minimum_version 1.5.0
load helper
load reader

@test "without a name it says what there is" {
    serve
    get
    [ "$status" -eq 0 ]
    [[ $output == *"debian-12-custom "*" whole"* && $output == *"debian-13-pve "*" 3 parts"* ]]
    [ "$(files_here)" -eq 0 ]
    get --list
    [ "$status" -eq 0 ]
}

@test "what there is is told with sizes, the set's version and date, and the line to type next" {
    as_release
    serve
    get
    [ "$status" -eq 0 ]
    [[ $output == *"debian-13-pve "*" 1 MiB "*" v0.45 "*" 2026-11-29 "*"3 parts"* ]]
    mkdir "$HERE/it's"
    HERE="$HERE/it's"
    get
    local line
    line=$(sed -n 's/^next: sh //p' <<<"$output")
    eval "run dash $line"
    [ "$status" -eq 0 ]
    [ "$(files_here)" -eq 2 ]
}

@test "a pinned set is fetched by its version" {
    as_release
    cp -R "$SERVED/latest" "$SERVED/images-v0.44"
    head -c 70000 /dev/urandom >"$SERVED/images-v0.44/$SMALL.qcow2"
    SERVED=$SERVED/images-v0.44 sums
    SERVED=$SERVED/images-v0.44 manifest v0.44 2026-10-01T12:00:00Z
    serve
    get --set v0.45 "$SMALL"
    [ "$status" -eq 0 ]
    cmp "$HERE/$SMALL.qcow2" "$SERVED/latest/$SMALL.qcow2"
    get --set v0.44 --force "$SMALL"
    [ "$status" -eq 0 ]
    cmp "$HERE/$SMALL.qcow2" "$SERVED/images-v0.44/$SMALL.qcow2"
    get --set v0.43 "$SMALL"
    [ "$status" -eq 3 ]
    [[ $stderr == *"no set of v0.43"*"images-v0.43"* ]]
    get --set v0.44 --tag images-v0.44
    [ "$status" -eq 2 ]
    # One that was made to look like it.
    cp -R "$SERVED/latest" "$SERVED/images-v0.42"
    get --set v0.42 "$SMALL"
    [ "$status" -eq 4 ]
}

@test "a version for which no set was built is told from one that is not there" {
    as_release
    local releases=$SERVED/example/packer/releases
    mkdir -p "$releases/download" "$SERVED/api/v3/repos/example/packer/releases/tags"
    mv "$SERVED/latest" "$releases/download"
    # shellcheck disable=SC2016
    printf '{"tag_name":"latest","body":"Points to v0.46\r\n<!-- packer-label {\\"source\\":\\"v0.46\\",\\"commit\\":\\"abc\\"} -->"}' \
        >"$SERVED/api/v3/repos/example/packer/releases/tags/latest"
    FOLDER=/example/packer/releases/download/latest
    serve
    get --set v0.46 "$SMALL"
    [ "$status" -eq 3 ]
    [[ $stderr == *"no set was built for v0.46: \`latest\` stands for v0.46"* ]]
    get --set v0.47 "$SMALL"
    [ "$status" -eq 3 ]
    [[ $stderr == *"no set of v0.47"* ]]
}

@test "an older signed set than the last one is refused" {
    as_release
    signer
    cp -R "$SERVED/latest" "$SERVED/old"
    SERVED=$SERVED/latest manifest v0.46 2026-11-30T12:00:00Z
    sign
    cp -R "$SERVED/latest" "$SERVED/new"
    serve
    local as=(--allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$SMALL")
    get "${as[@]}"
    [ "$status" -eq 0 ]
    rm -r "$SERVED/latest"
    cp -R "$SERVED/old" "$SERVED/latest"
    get "${as[@]}"
    [ "$status" -eq 4 ]
    [[ $stderr == *"\`latest\` went from v0.46 "*" back to v0.45 "*"--older"* ]]
    # In another folder nobody knows; nor does who asks for the set itself.
    HERE=$BATS_TEST_TMPDIR/elsewhere get "${as[@]}"
    [ "$status" -eq 0 ]
    get --set v0.45 "${as[@]}"
    [ "$status" -eq 0 ]
    get "${as[@]}"
    [ "$status" -eq 4 ]
    get --older "${as[@]}"
    [ "$status" -eq 0 ]
    get "${as[@]}"
    [ "$status" -eq 0 ]
    rm -r "$SERVED/latest"
    cp -R "$SERVED/new" "$SERVED/latest"
    get "${as[@]}"
    [ "$status" -eq 0 ]
    # One of before has no date, and can't be compared.
    SERVED=$SERVED/latest manifest v0.40
    SERVED=$SERVED/latest sums
    sign
    get "${as[@]}"
    [ "$status" -eq 0 ]
}

@test "the manifest is the one that was signed" {
    as_release
    signer
    sed -i 's/v0.45/v0.99/' "$SERVED/latest/packer-images.json"
    serve
    get --allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$SMALL"
    [ "$status" -eq 4 ]
    [[ $stderr == *"manifest"* ]]
    rm "$SERVED/latest/packer-images.json"
    get --allowed-signers "$BATS_TEST_TMPDIR/allowed_signers" "$SMALL"
    [ "$status" -eq 4 ]
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

@test "all arrives with the tools that macOS has" {
    only curl shasum perl
    # BSD's: wc pads its numbers, sed has no extensions of GNU's, and there is no GNU stat, timeout or sha256sum.
    local wc sed
    wc=$(command -v wc) sed=$(command -v sed)
    stub wc "printf '%8s\n' \"\$($wc \"\$@\")\""
    stub sed "exec $sed --posix \"\$@\""
    for shell in bash "bash --posix"; do
        ln -sf "$(command -v bash)" "$BATS_TEST_TMPDIR/bin/bash"
        SHELL_UNDER_TEST=$shell
        rm -f "$HERE"/*
        serve "cut:$BIG.qcow2.partab:30000"
        get --all
        [ "$status" -eq 0 ]
        all_here
        stop_servers
    done
}

@test "curl 7.29 is enough" {
    local real
    real=$(command -v curl)
    # It knows these options of those that are used, and speaks HTTP/1.1 alone.
    stub curl "for word; do case \$word in -q | -K | - | -vsSfL | -r | --connect-timeout | --proto-redir | =https | [0-9]* | http*) ;; *)
        echo \"curl: option \$word: is unknown\" >&2; exit 2 ;; esac; done; exec $real --http1.1 \"\$@\""
    serve "cut:$BIG.qcow2.partab:30000"
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
    [[ $stderr == *"downloading again from the start"* ]]
    cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/$BIG.qcow2"
}

@test "a wrong part never comes under the final name" {
    for tools in curl wget; do
        rm -rf "${BATS_TEST_TMPDIR:?}/bin"
        only "$tools" sha256sum
        printf 'other bytes' | dd of="$SERVED/$BIG.qcow2.partab" bs=1 seek=5 conv=notrunc 2>/dev/null
        serve
        get "$BIG"
        stop_servers
        [ "$status" -eq 4 ]
        [[ $stderr == *"$BIG.qcow2.partab"*"SHA256SUMS says"* ]]
        [ ! -e "$HERE/$BIG.qcow2" ]
    done
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

@test "an unknown image is refused with the images that there are, and nothing else" {
    serve
    get debian-13
    [ "$status" -eq 2 ]
    [[ $stderr == *"no image debian-13 on this release; available: debian-12-custom debian-13-pve"* ]]
    [[ $stderr != *usage* ]]
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
    [[ $stderr == *"an unknown key (no allowed_signers file here lists it)"*SHA256:* ]]
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
