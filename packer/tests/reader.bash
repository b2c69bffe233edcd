# shellcheck shell=bash disable=SC2153 # `listening` sets SERVER
# A set of images on a small server, and get-images.sh to fetch it; before and after each test of a file that loads this.

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
    cp -R "$SERVED" "$BATS_TEST_TMPDIR/first"
    SHELL_UNDER_TEST=dash
    FOLDER='' SERVERS=''
}

# As a publish writes it.
sums() {
    sums_of "$BATS_TEST_TMPDIR/$BIG.qcow2"
}

# sums_of BIG: of what is served, where BIG is the image that comes in parts.
sums_of() {
    (
        cd "$SERVED" || exit
        rm -f SHA256SUMS
        sha256sum ./*.qcow2* | sed 's,\./,,' | grep -v "  $BIG.qcow2\$" >sums
        mv sums SHA256SUMS
        echo "$(sha256sum <"$1" | cut -c 1-64)  $BIG.qcow2" >>SHA256SUMS
    )
}

# manifest SOURCE [CREATED]: of what is served, as a publish writes it; with CREATED, SHA256SUMS lists it.
manifest() {
    python3 - "$SERVED" "$1" "${2-}" <<'PYTHON'
import hashlib, json, os, re, sys

folder, source, created = sys.argv[1:]
sums = os.path.join(folder, "SHA256SUMS")
lines = [line for line in open(sums).read().splitlines() if not line.endswith("  packer-images.json")]
digests = dict(line.split("  ")[::-1] for line in lines)
size = lambda file: os.path.getsize(os.path.join(folder, file))
entry = lambda file: {"file": file, "size": size(file), "sha256": digests[file]}
images = []
for file in sorted(digests):
    if not file.endswith(".qcow2"):
        continue
    parts = [entry(part) for part in sorted(digests) if re.fullmatch(re.escape(file) + r"\.part[a-z]+", part)]
    whole = sum(part["size"] for part in parts) or size(file)
    image = {"name": file[:-6], "file": file, "size": whole, "sha256": digests[file], "versions": {"DEBIAN_VERSION": "13.2"}}
    images.append(image | {"parts": parts})
manifest = {"schema": 1, "source": source, "commit": "c" * 40} | ({"created": created} if created else {}) | {"images": images}
text = json.dumps(manifest, indent=2) + "\n"
open(os.path.join(folder, "packer-images.json"), "w").write(text)
if created:
    lines.append(hashlib.sha256(text.encode()).hexdigest() + "  packer-images.json")
    open(sums, "w").write("\n".join(lines) + "\n")
PYTHON
}

# What is served becomes the release `latest` of a server that has several.
as_release() {
    rm -rf "${BATS_TEST_TMPDIR:?}/releases"
    mkdir "$BATS_TEST_TMPDIR/releases"
    mv "$SERVED" "$BATS_TEST_TMPDIR/releases/latest"
    SERVED=$BATS_TEST_TMPDIR/releases/latest
    manifest v0.45 2026-11-29T12:00:00Z
    SERVED=$BATS_TEST_TMPDIR/releases FOLDER=/latest
}

teardown() {
    stop_servers
}

serve() {
    listening "$BATS_TEST_TMPDIR/requests" python3 "$BATS_TEST_DIRNAME/files-server.py" "$SERVED" "$@"
    SERVERS="$SERVERS $SERVER"
}

stop_servers() {
    local server
    for server in $SERVERS; do
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    done
    SERVERS=
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

# stub PROGRAM SCRIPT: stands before the real one.
stub() {
    local place=${PATH_UNDER_TEST:-$BATS_TEST_TMPDIR/stubs}
    mkdir -p "$place"
    rm -f "$place/$1"
    printf '#!/bin/bash\n%s\n' "$2" >"$place/$1"
    chmod +x "$place/$1"
    [ -n "${PATH_UNDER_TEST-}" ] || PATH_UNDER_TEST=$place:$PATH
}

get() {
    # shellcheck disable=SC2034 # tests look at it
    # shellcheck disable=SC2086 # `busybox sh` is two words
    run --separate-stderr timeout 120 env ${PATH_UNDER_TEST:+"PATH=$PATH_UNDER_TEST"} $SHELL_UNDER_TEST "$READER" --url "http://127.0.0.1:$PORT$FOLDER" --dir "$HERE" "$@"
}

# Both images are here, whole, with checksum files that fit; nothing else is.
all_here() {
    cmp "$HERE/$BIG.qcow2" "$BATS_TEST_TMPDIR/$BIG.qcow2"
    cmp "$HERE/$SMALL.qcow2" "$BATS_TEST_TMPDIR/first/$SMALL.qcow2"
    (cd "$HERE" && sha256sum -c --quiet ./*.sha256)
    [ "$(files_here)" -eq 4 ]
}

requests() {
    grep -E "^GET (.*/)?$1 " "$BATS_TEST_TMPDIR/requests"
}

signer() {
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$BATS_TEST_TMPDIR/key"
    echo "releases@example.org $(cat "$BATS_TEST_TMPDIR/key.pub")" >"$BATS_TEST_TMPDIR/allowed_signers"
    sign
}

# Signs what is served.
sign() {
    local folder=$SERVED
    [ -e "$folder/SHA256SUMS" ] || folder=$SERVED/latest
    rm -f "$folder/SHA256SUMS.sig"
    ssh-keygen -q -Y sign -n file -f "$BATS_TEST_TMPDIR/key" "$folder/SHA256SUMS" 2>/dev/null
}
