#!/usr/bin/env bats
# scripts/ci-bases: one base image for all images of a run.

bats_require_minimum_version 1.5.0

setup() {
    ROOT=$BATS_TEST_DIRNAME/../..
    PACKER=$BATS_TEST_TMPDIR/packer
    WWW=$BATS_TEST_TMPDIR/www/trixie
    mkdir -p "$PACKER" "$WWW"/{latest,20261117-2299}
    cp -R "$ROOT/packer/templates" "$PACKER/"
    echo base >"$WWW/latest/debian.qcow2"
    DIGEST=$(sha512sum <"$WWW/latest/debian.qcow2" | cut -c-128)
    echo "$DIGEST  debian.qcow2" | tee "$WWW/latest/SHA512SUMS" >"$WWW/20261117-2299/SHA512SUMS"
    sed -i "s#https://cloud.debian.org/images/cloud/[a-z]*/latest/debian-[0-9]*-generic-amd64.qcow2#file://$WWW/latest/debian.qcow2#
        s#file:https://[^\"]*SHA512SUMS#file:///$WWW/latest/SHA512SUMS#" "$PACKER"/templates/*/template.pkr.hcl
}

@test "each image's base has its dated address and its digest" {
    run --separate-stderr "$ROOT/scripts/ci-bases" "$PACKER" '["debian-13-custom","debian-13-pve"]'
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 1 ]
    local image="{\"url\":\"file://$WWW/20261117-2299/debian.qcow2\",\"digest\":\"sha512:$DIGEST\"}"
    [ "$output" = "bases={\"debian-13-custom\":$image,\"debian-13-pve\":$image}" ]
}

@test "what cannot be told ends it, and so does what is no list or no image" {
    rm "$WWW/latest/SHA512SUMS"
    run --separate-stderr "$ROOT/scripts/ci-bases" "$PACKER" '["debian-13-pve"]'
    [ "$status" -eq 3 ]
    [ -z "$output" ]
    local list
    for list in '' '{}' 'x' '[1]' '["../x"]'; do
        run --separate-stderr "$ROOT/scripts/ci-bases" "$PACKER" "$list"
        [ "$status" -eq 2 ]
    done
}
