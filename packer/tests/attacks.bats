#!/usr/bin/env bats
# What others may try: whoever wrote a template, a mirror, another user of the host. docs/security.md lists them. Each attack puts a file
# named `owned` somewhere, or changes one named `precious`, if it succeeds.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper

setup() {
    setup_packer
    OWNED=$BATS_TEST_TMPDIR/owned
    PRECIOUS=$BATS_TEST_TMPDIR/precious
    echo precious >"$PRECIOUS"
    WWW=$BATS_TEST_TMPDIR/www
    mkdir "$WWW"
}

teardown() {
    [ ! -e "$OWNED" ] || echo "a command of the attacker ran" >&2
    [ -z "${SERVER-}" ] || stop_server
}

# commands_in REPOSITORY: its configuration runs one at every occasion that git has.
commands_in() {
    local config=(git config --file "$1/config") evil="touch $OWNED; false"
    mkdir -p "$1/hooks"
    printf '#!/bin/sh\n%s\n' "$evil" | tee "$1/hooks/reference-transaction" >"$1/hooks/post-index-change"
    chmod +x "$1"/hooks/*
    "${config[@]}" core.fsmonitor "$evil"
    "${config[@]}" core.pager "$evil"
    "${config[@]}" core.sshCommand "$evil"
    "${config[@]}" core.editor "$evil"
    "${config[@]}" core.hooksPath "$1/hooks"
    "${config[@]}" filter.evil.clean "$evil"
    "${config[@]}" filter.evil.process "$evil"
    "${config[@]}" diff.external "$evil"
    "${config[@]}" diff.evil.textconv "$evil"
    "${config[@]}" gpg.program "$evil"
    "${config[@]}" protocol.ext.allow always
    "${config[@]}" extensions.partialClone origin
    "${config[@]}" core.repositoryFormatVersion 1
    "${config[@]}" remote.origin.promisor true
    "${config[@]}" remote.origin.url "ext::sh -c touch% $OWNED"
}

asks_git() {
    build --inputs "$NAME"
    [ ! -e "$OWNED" ]
    build --force "$NAME"
    [ "$status" -eq 0 ]
    [ ! -e "$OWNED" ]
}

@test "no command in a repository's configuration is run: the folder's own, one above it, another user's" {
    printf '* filter=evil diff=evil\n' >"$ENGINE/.gitattributes"
    commit_all
    local repository=$BATS_TEST_TMPDIR/repo/.git
    commands_in "$repository"
    echo "echo more" >>"$ENGINE/shared/scripts/update.sh"
    asks_git
    [ "$(record built_from.dirty)" = true ]
    # A commit that is not there would be asked for.
    echo "$(printf '0%.0s' {1..39})1" >"$repository/HEAD"
    asks_git
    [ "$(record built_from)" = null ]
    if [ "$(id -u)" -eq 0 ]; then
        chown -R nobody "$repository"
        git -C "$BATS_TEST_TMPDIR" init -q --bare "$BATS_TEST_TMPDIR/repo/.git/x"
        asks_git
        [ "$(record built_from)" = null ]
    fi
}

@test "files of a template that look like a repository are none" {
    git init -q --bare "$BATS_TEST_TMPDIR/bare"
    commands_in "$BATS_TEST_TMPDIR/bare"
    git config --file "$BATS_TEST_TMPDIR/bare/config" core.bare false
    git config --file "$BATS_TEST_TMPDIR/bare/config" core.worktree .
    cp -R "$BATS_TEST_TMPDIR/bare/." "$ENGINE/"
    asks_git
}

@test "another user's repository above the folder tells no commit" {
    [ "$(id -u)" -eq 0 ] || skip "needs root, to make another user's folder"
    commit_all
    chown -R nobody "$BATS_TEST_TMPDIR/repo/.git"
    build "$NAME"
    [ "$(record built_from)" = null ]
}

@test "package-index: a template's proxmox.sh is read and never run" {
    # shellcheck disable=SC2016 # for whoever would run it
    printf '%s\n' "touch $OWNED" ': "${PVE_REPOSITORY_URL:=http://127.0.0.1:1/}"' ": \"\${PVE_KEYRING_URL:=\$(touch $OWNED)}\"" \
        "PVE_SUITE=trixie PVE_COMPONENT=x" >"$ENGINE/templates/debian-13-pve/proxmox.sh"
    DEBIAN_KEYRING=/dev/null run --separate-stderr "$ENGINE/package-index.sh" proxmox:debian-13-pve
    [ "$status" -ne 0 ]
    [ ! -e "$OWNED" ]
    DEBIAN_KEYRING=$PRECIOUS run --separate-stderr "$ENGINE/package-index.sh" proxmox:debian-13-pve
    [ "$status" -eq 3 ]
    [[ $stderr == *"gives no PVE_KEYRING_URL"* ]]
    [ ! -e "$OWNED" ]
}

@test "one line stays one line: templates with odd names are none" {
    local name
    for name in $'a\nb' $'\e]0;x\a' 'a b' '-x' "\$(touch x)" "a'b"; do
        mkdir "$ENGINE/templates/$name"
        cp "$ENGINE/templates/$NAME/template.pkr.hcl" "$ENGINE/templates/$name/"
    done
    run --separate-stderr "$ENGINE/build.sh" --list
    [ "$output" = $'debian-12-custom\ndebian-13-custom\ndebian-13-pve' ]
    run --separate-stderr "$ENGINE/build.sh" -- $'a\nb\e[2J'
    [ "$status" -eq 2 ]
    [[ $stderr == *'unknown image: a\x0ab\x1b[2J'* ]]
}

@test "what a mirror says reaches no terminal as it is" {
    cp "$BASE" "$WWW/debian-12-generic-amd64.qcow2"
    sed -i "s#https://cloud.debian.org/images/cloud/[a-z]*/latest#http://127.0.0.1:1/$(printf '\e]0;x\a\xc2\x9b\xe2\x80\xae')#" \
        "$ENGINE"/templates/*/template.pkr.hcl
    run --separate-stderr "$ENGINE/base-images.sh" "$NAME"
    [ -n "$output" ]
    [[ $output$stderr != *[$'\e\a']* ]]
    [[ $output$stderr != *$'\xc2\x9b'* ]]
    [[ $output$stderr != *$'\xe2\x80\xae'* ]]
    [[ $output == *'\x1b]0;x\x07\xc2\x9b\xe2\x80\xae'* ]]
}

@test "a list of digests without an end is not read to its end, nor is a base image" {
    cat >"$BATS_TEST_TMPDIR/server.py" <<'PYTHON'
import http.server
class Endless(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"0" * 65535 + b"\n")
        except OSError:
            pass
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
print("port", server.server_port)
server.serve_forever()
PYTHON
    listening "$BATS_TEST_TMPDIR/endless.log" python3 -u "$BATS_TEST_TMPDIR/server.py"
    sed -i "s#https://cloud.debian.org/images/cloud/[a-z]*/latest#http://127.0.0.1:$PORT#" "$ENGINE"/templates/*/template.pkr.hcl
    run --separate-stderr timeout 30 "$ENGINE/base-images.sh" "$NAME"
    [ "$status" -eq 0 ]
    [[ $output == *unknown* ]]
    [[ $stderr == *"has more than 1048576 bytes"* ]]
    BASE_IMAGE_CHECKSUM=sha256:$(printf '0%.0s' {1..64})
    export BASE_IMAGE_CHECKSUM BASE_IMAGE_URL=http://127.0.0.1:$PORT/a.qcow2
    BASE_IMAGE_LIMIT=1000000 run --separate-stderr timeout 30 "$ENGINE/build.sh" "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"has more than 1000000 bytes"* ]]
    [ -z "$(find "$ENGINE/.cache/base" -size +0 -name '*.part')" ]
}

@test "no redirect leads from https to plain http" {
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$BATS_TEST_TMPDIR/key" -out "$BATS_TEST_TMPDIR/cert" 2>/dev/null
    (cd "$WWW" && sha512sum -- "$BASE" | sed 's#  .*#  debian-12-generic-amd64.qcow2#' >SHA512SUMS)
    start_server "$WWW"
    local plain=$SERVER
    cat >"$BATS_TEST_TMPDIR/server.py" <<'PYTHON'
import http.server, ssl, sys
class Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.1:" + sys.argv[1] + self.path)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_port)
server.serve_forever()
PYTHON
    listening "$BATS_TEST_TMPDIR/https.log" python3 -u "$BATS_TEST_TMPDIR/server.py" "$PORT" "$BATS_TEST_TMPDIR/cert" \
        "$BATS_TEST_TMPDIR/key"
    sed -i "s#https://cloud.debian.org/images/cloud/[a-z]*/latest#https://127.0.0.1:$PORT#" "$ENGINE"/templates/*/template.pkr.hcl
    CURL_CA_BUNDLE=$BATS_TEST_TMPDIR/cert run --separate-stderr "$ENGINE/base-images.sh" "$NAME"
    kill "$plain"
    [[ $output == *unknown* ]]
    [[ $stderr == *"cannot read https://127.0.0.1:$PORT/SHA512SUMS"* ]]
}

@test "a URL says nothing else to curl" {
    export BASE_IMAGE_URL=$'http://127.0.0.1:1/a.qcow2"\noutput = "'"$OWNED" BASE_IMAGE_CHECKSUM=
    build "$NAME"
    [ "$status" -ne 0 ]
    [[ $stderr == *"control character"* ]]
    BASE_IMAGE_URL="http://127.0.0.1:1/a\\\" \" -o $OWNED" build "$NAME"
    [ "$status" -ne 0 ]
    [ ! -e "$OWNED" ]
}

@test "links that were planted are not followed" {
    local storage=$BATS_TEST_TMPDIR/storage
    mkdir "$storage"
    build "$NAME"
    ln -s "$PRECIOUS" "$SET/$NAME.qcow2.sha256.new"
    rm "$SET/$NAME.qcow2.sha256"
    run --separate-stderr "$ENGINE/checksums.sh"
    [ "$status" -eq 0 ]
    ln -s "$PRECIOUS" "$storage/$NAME.img"
    for number in {1..40}; do
        ln -s "$PRECIOUS" "$storage/.$NAME.img.$((BASHPID + number))"
    done
    run --separate-stderr "$ENGINE/publish.sh" --storage "$storage"
    [ "$status" -eq 0 ]
    [ "$(<"$PRECIOUS")" = precious ]
    [ ! -L "$storage/$NAME.img" ]
}
