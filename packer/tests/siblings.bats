#!/usr/bin/env bats
# base-images.sh, checksums.sh and publish.sh, as people type them.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper

setup() {
    setup_packer
    WWW=$BATS_TEST_TMPDIR/www
    mkdir "$WWW"
    cp "$BASE" "$WWW/debian-12-generic-amd64.qcow2"
    cp "$BASE" "$WWW/debian-13-generic-amd64.qcow2"
    (cd "$WWW" && sha512sum ./*.qcow2 >SHA512SUMS)
    DIGEST=sha512:$(sha512sum "$BASE" | cut -c-128)
}

teardown() {
    [ -z "${SERVER-}" ] || stop_server
}

# from URL: the templates' base images come from there.
from() {
    sed -i "s#https://cloud.debian.org/images/cloud/[a-z]*/latest#$1#" "$ENGINE"/templates/*/template.pkr.hcl
}

ask() {
    run --separate-stderr "$ENGINE/base-images.sh" "$@"
}

@test "base-images: a line for each template, from file: and from http:" {
    from "file://$WWW"
    ask
    [ "$status" -eq 0 ]
    [ "$output" = "$(printf '%s\tfile://%s/debian-%s-generic-amd64.qcow2\t%s\t-\n' \
        debian-12-custom "$WWW" 12 "$DIGEST" debian-13-custom "$WWW" 13 "$DIGEST" debian-13-pve "$WWW" 13 "$DIGEST")" ]
    [ -z "$stderr" ]

    start_server "$WWW"
    sed -i "s#file://$WWW#http://127.0.0.1:$PORT#" "$ENGINE"/templates/*/template.pkr.hcl
    ask debian-13-pve
    [ "$output" = "$(printf 'debian-13-pve\thttp://127.0.0.1:%s/debian-13-generic-amd64.qcow2\t%s\t-' "$PORT" "$DIGEST")" ]
}

@test "base-images: the version comes from the description beside the image, or from the folder's name" {
    echo '{"data": {"info": {"arch": "amd64", "version": "20250703-2162"}}}' >"$WWW/debian-12-generic-amd64.json"
    from "file://$WWW"
    ask debian-12-custom
    [ "$(cut -f 4 <<<"$output")" = 20250703-2162 ]
    mv "$WWW" "$BATS_TEST_TMPDIR/20240101-1"
    rm "$BATS_TEST_TMPDIR"/20240101-1/*.json
    sed -i "s#$WWW#$BATS_TEST_TMPDIR/20240101-1#" "$ENGINE"/templates/*/template.pkr.hcl
    ask debian-12-custom
    [ "$(cut -f 3,4 <<<"$output")" = "$DIGEST"$'\t'20240101-1 ]
}

@test "base-images: what upstream does not tell is unknown, even if it was known before" {
    from "file://$WWW"
    ask debian-12-custom
    rm "$WWW/SHA512SUMS"
    ask debian-12-custom
    [ "$status" -eq 0 ]
    [ "$(cut -f 3 <<<"$output")" = unknown ]
    [[ $stderr == *"cannot read file://$WWW/SHA512SUMS"* ]]

    echo "<html>not a list</html>" >"$WWW/SHA512SUMS"
    ask debian-12-custom
    [ "$(cut -f 3 <<<"$output")" = unknown ]
    [[ $stderr == *"has no digest for debian-12-generic-amd64.qcow2"* ]]
}

@test "base-images: a mirror that is down makes its own template unknown, and no other" {
    from "file://$WWW"
    sed -i "s#file://$WWW#http://127.0.0.1:1#" "$ENGINE/templates/debian-13-pve/template.pkr.hcl"
    ask
    [ "$status" -eq 0 ]
    [ "$(cut -f 3 <<<"$output" | paste -sd ' ')" = "$DIGEST $DIGEST unknown" ]
    [[ $stderr == *"http://127.0.0.1:1/SHA512SUMS"* ]]
}

@test "base-images: the digest is the one that a build then records" {
    from "file://$WWW"
    ask debian-12-custom
    local told
    told=$(cut -f 3 <<<"$output")
    unset BASE_IMAGE_URL
    build debian-12-custom
    [ "$status" -eq 0 ]
    [ "$(record base_image.digest)" = "\"$told\"" ]
}

@test "base-images: an unknown template is refused" {
    ask nope
    [ "$status" -eq 2 ]
    [[ $stderr == *"known images: debian-12-custom"* ]]
}

@test "checksums: checks what is there, exit 4 for a damaged image, 3 for a missing one" {
    run --separate-stderr "$ENGINE/checksums.sh"
    [ "$status" -eq 3 ]
    build "$NAME"
    run --separate-stderr "$ENGINE/checksums.sh"
    [ "$status" -eq 0 ]
    run --separate-stderr "$ENGINE/checksums.sh" debian-13-pve
    [ "$status" -eq 3 ]
    printf x >>"$SET/$NAME.qcow2"
    run --separate-stderr "$ENGINE/checksums.sh" --verify
    [ "$status" -eq 4 ]
    [[ $stderr == *"$NAME.qcow2 does not match $NAME.qcow2.sha256"* ]]
}

@test "checksums: writes a missing file in the form of sha256sum, and never over one that differs" {
    build "$NAME"
    local before
    before=$(<"$SET/$NAME.qcow2.sha256")
    rm "$SET/$NAME.qcow2.sha256"
    run --separate-stderr "$ENGINE/checksums.sh" --verify
    [ "$status" -eq 3 ]
    run --separate-stderr "$ENGINE/checksums.sh"
    [ "$status" -eq 0 ]
    [ "$(<"$SET/$NAME.qcow2.sha256")" = "$before" ]
    printf x >>"$SET/$NAME.qcow2"
    run --separate-stderr "$ENGINE/checksums.sh"
    [ "$status" -eq 4 ]
    [ "$(<"$SET/$NAME.qcow2.sha256")" = "$before" ]
}

@test "publish: copies to the storage under .img, once" {
    local storage=$BATS_TEST_TMPDIR/storage
    build "$NAME"
    run --separate-stderr "$ENGINE/publish.sh" --storage "$storage"
    [ "$status" -eq 3 ]
    [[ $stderr == *"no folder $storage"* ]]
    mkdir "$storage"
    run --separate-stderr "$ENGINE/publish.sh" --storage "$storage"
    [ "$status" -eq 0 ]
    cmp "$SET/$NAME.qcow2" "$storage/$NAME.img"
    [ "$(ls -A "$storage")" = "$NAME.img" ]
    run --separate-stderr "$ENGINE/publish.sh" --storage "$storage" "$NAME"
    [[ $output == *"already at $storage/$NAME.img"* ]]
}

@test "publish: a damaged image does not replace the copy that is in use" {
    local storage=$BATS_TEST_TMPDIR/storage
    mkdir "$storage"
    echo used >"$storage/$NAME.img"
    build "$NAME"
    printf x >>"$SET/$NAME.qcow2"
    run --separate-stderr "$ENGINE/publish.sh" --storage "$storage"
    [ "$status" -eq 4 ]
    [ "$(<"$storage/$NAME.img")" = used ]
}
