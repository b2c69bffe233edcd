#!/usr/bin/env bats
# The list of packages: what stands in it, and that readers of CycloneDX can read it.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper

setup() {
    LIST=$BATS_TEST_TMPDIR/packages.tsv
    SBOM=$BATS_TEST_TMPDIR/image.cdx.json
}

# sbom [SIZES]: of $LIST, into $SBOM.
sbom() {
    # shellcheck disable=SC2016 # for the shell that is started
    run --separate-stderr bash -euo pipefail -c '
        PACKER_DIR=$1 VERSION=1.0.0
        . "$1/lib/common.sh" && . "$1/lib/sbom.sh"
        write_sbom image "$2" "$3" "${4-}"' bash "$BATS_TEST_DIRNAME/.." "$LIST" "$SBOM" "$@"
}

# valid: skips where the schema can't be had.
valid() {
    local status=0 said
    said=$("$BATS_TEST_DIRNAME/valid-sbom.sh" "$SBOM" 2>&1) || status=$?
    echo "$said"
    [ "$status" -ne 77 ] || skip "${said#skipped: }"
    return "$status"
}

@test "the packages of a build are listed as scanners expect them" {
    cp "$BATS_TEST_DIRNAME/stub/packages.tsv" "$LIST"
    sbom
    [ "$status" -eq 0 ]
    local url
    for url in 'pkg:deb/debian/libssl3@3.0.19-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl' \
        'pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12' \
        'pkg:deb/debian/bsdutils@1:2.38.1-5%2Bdeb12u3?arch=amd64&distro=debian-12&upstream=util-linux%402.38.1-5%2Bdeb12u3' \
        'pkg:deb/debian/tzdata@2025b-0%2Bdeb12u1?arch=all&distro=debian-12'; do
        jq -e --arg url "$url" '.components | map(select(.purl == $url)) | length == 1' "$SBOM"
    done
    [ "$(jq -r '.components[] | select(.name == "bsdutils") | .properties | map(.value) | join(" ")' "$SBOM")" = \
        "debian util-linux 2.38.1 5+deb12u3" ]
    [ "$(jq -r '.components[] | select(.type == "operating-system") | .name + " " + .version' "$SBOM")" = "debian 12.11" ]
    valid
}

@test "all packages of this machine make a valid list" {
    command -v dpkg-query >/dev/null || skip "no dpkg here"
    export IMAGE_ROOT=$BATS_TEST_TMPDIR/root
    mkdir -p "$IMAGE_ROOT"/{etc,usr/share/doc/openssl,var/lib,var/tmp/image-build}
    printf '%s\n' 'openssl (3.0.2) bookworm-security; urgency=high' '' '  * Fix CVE-2026-1, (CVE-2026-2)' '    and CVE-2026-1.' \
        'openssl (3.0.1) unstable; urgency=low' '  * CVE-2025-9' | gzip >"$IMAGE_ROOT/usr/share/doc/openssl/changelog.Debian.gz"
    ln -s /var/lib/dpkg "$IMAGE_ROOT/var/lib/dpkg"
    cp -L /etc/os-release "$IMAGE_ROOT/etc/"
    cp -L /etc/debian_version "$IMAGE_ROOT/etc/"
    cp "$BATS_TEST_DIRNAME/../shared/scripts/guest.sh" "$IMAGE_ROOT/var/tmp/image-build/"
    "$BATS_TEST_DIRNAME/../shared/scripts/record-packages.sh"
    "$BATS_TEST_DIRNAME/../shared/scripts/record-details.sh"
    LIST=$IMAGE_ROOT/var/tmp/image-build/packages.tsv
    sbom "$IMAGE_ROOT/var/tmp/image-build/details.tsv"
    [ "$status" -eq 0 ]
    [ "$(jq '.components | length' "$SBOM")" -eq "$(wc -l <"$LIST")" ]
    [ "$(grep -P '^cve' "$IMAGE_ROOT/var/tmp/image-build/details.tsv")" = $'cve\topenssl\t3.0.2\tCVE-2026-1 CVE-2026-2' ]
    valid
}

@test "the files of an image are listed with what tells two images apart, without what each machine makes anew" {
    export IMAGE_ROOT=$BATS_TEST_TMPDIR/root
    mkdir -p "$IMAGE_ROOT"/{etc/ssh,etc/systemd/system/multi-user.target.wants,usr/bin,root,var/log,var/tmp/image-build}
    cp "$BATS_TEST_DIRNAME/../shared/scripts/guest.sh" "$IMAGE_ROOT/var/tmp/image-build/"
    echo sudo >"$IMAGE_ROOT/usr/bin/su do"
    chmod 4755 "$IMAGE_ROOT/usr/bin/su do"
    ln -s ../cron.service "$IMAGE_ROOT/etc/systemd/system/multi-user.target.wants/cron.service"
    local file
    for file in etc/machine-id etc/ssh/ssh_host_rsa_key root/.bashrc var/log/syslog usr/bin/$'a\tb\nc'; do
        echo x >"$IMAGE_ROOT/$file"
    done
    "$BATS_TEST_DIRNAME/../shared/scripts/record-files.sh"
    [ "$(grep -v $'\td' "$IMAGE_ROOT/var/tmp/image-build/files.tsv" | sed "s/$(id -u):$(id -g)/OWNER/")" = \
        "/etc/systemd/system/multi-user.target.wants/cron.service	l777	OWNER	-	-> ../cron.service
/usr/bin/su do	f4755	OWNER	5	$(echo sudo | sha256sum | cut -c-16)" ]
}

@test "the sizes of packages and folders are in the list where they are known, and nothing else of their file" {
    cp "$BATS_TEST_DIRNAME/stub/packages.tsv" "$LIST"
    printf '%s\n' $'package\tlibssl3\tamd64\t6140' $'package\ttzdata\tamd64\t1' $'folder\t/usr/lib\t\t123456' $'folder\t/"x\t\t1' $'package\tbsdutils\tamd64\t1"' \
        $'cve\topenssl\t3.5.1-1\tCVE-2026-1 CVE-2026-22' $'cve\topenssl\t3.5.1-2\tCVE-2026-3"' \
        >"$BATS_TEST_TMPDIR/details.tsv"
    sbom "$BATS_TEST_TMPDIR/details.tsv"
    [ "$status" -eq 0 ]
    [ "$(jq -r '.components[] | .name as $name | .properties[] | select(.name | startswith("homestak:packer:size")) | "\($name) \(.value)"' "$SBOM")" = \
        "libssl3 6140" ]
    [ "$(jq -r '.components[0].properties[] | select(.name | startswith("homestak:packer:folder")) | "\(.name) \(.value)"' "$SBOM")" = \
        "homestak:packer:folder:/usr/lib 123456" ]
    [ "$(jq -r '.components[0].properties[] | select(.name | startswith("homestak:packer:cve")) | "\(.name) \(.value)"' "$SBOM")" = \
        "homestak:packer:cve:openssl 3.5.1-1/CVE-2026-1/CVE-2026-22" ]
    valid
    sbom "$BATS_TEST_TMPDIR/none.tsv"
    [ "$status" -eq 0 ]
}

@test "the check of a list notices what is none, a broken package URL, and a reference that is used twice" {
    cp "$BATS_TEST_DIRNAME/stub/packages.tsv" "$LIST"
    sbom
    valid
    local good=$SBOM change
    SBOM=$BATS_TEST_TMPDIR/broken.cdx.json
    for change in 'del(.components[1].name)' '(.components[].purl | strings) |= sub("%2B"; "+")' '.components[1].purl = "pkg:deb"' \
        '.components += [.components[1] | .version = "2" | del(.purl)]' 'del(.components[0])'; do
        jq "$change" "$good" >"$SBOM"
        run -1 valid
    done
}

@test "what is no list of packages makes none" {
    local good=$'os\tdebian\t12\tbookworm\t12.11' row
    for row in '' $'bash\t5.2\tamd64\tbash' $'ba"sh\t5.2\tamd64\tbash\t5.2' $'bash\t5 2\tamd64\tbash\t5.2' \
        $'bash\t5.2\tamd64\tbash\t5.2\nbash\t5.2\tamd64\tbash\t5.2'; do
        printf '%s\n%s' "$good" "${row:+$row$'\n'}" >"$LIST"
        sbom
        [ "$status" -ne 0 ]
        [[ $stderr == *"list of packages"* ]]
    done
    printf 'bash\t5.2\tamd64\tbash\t5.2\n' >"$LIST"
    sbom
    [ "$status" -ne 0 ]
}
