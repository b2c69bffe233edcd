#!/usr/bin/env bats
# build.sh: what it decides, writes and leaves behind.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper
setup() { setup_packer; }

@test "--list prints every template, sorted" {
    build --list
    [ "$status" -eq 0 ]
    [ "$output" = $'debian-12-custom\ndebian-13-custom\ndebian-13-pve' ]
}

@test "--help and --version succeed on standard output" {
    build --help
    [ "$status" -eq 0 ]
    [[ $output == usage:* ]]
    build --version
    [ "$status" -eq 0 ]
    [[ $output =~ ^build\.sh\ [0-9]+\.[0-9]+\.[0-9]+\ \(packer\ 1\.6\.6,\ QEMU\ 7\.2\.0\)$ ]]
}

@test "an unknown image is refused with the list of known ones, before anything is built" {
    build debian-12-custom debian-11
    [ "$status" -eq 2 ]
    [[ $stderr == *"unknown image: debian-11"*"debian-12-custom debian-13-custom debian-13-pve"* ]]
    [ ! -e "$ENGINE/images" ]
}

@test "names that would leave the templates folder, and unknown options, are refused" {
    local name
    for name in ../x . .. 'a b' 'x/y' --frobnicate ''; do
        build "$name"
        [ "$status" -eq 2 ]
    done
}

@test "a build writes the image, its checksum, versions and record, and nothing else" {
    local commit
    commit=$(commit_all)
    build "$NAME"
    [ "$status" -eq 0 ]
    [ "${lines[-1]}" = "1 built, 0 unchanged, 0 failed" ]

    [ "$(cd "$SET" && find . -type f | LC_ALL=C sort | paste -sd ' ')" = \
        "./.cache-key ./$NAME.build.json ./$NAME.cdx.json ./$NAME.files.gz ./$NAME.qcow2 ./$NAME.qcow2.sha256 ./image-version.txt" ]
    [ "$(find "$ENGINE/images" -mindepth 1 -maxdepth 1)" = "$SET" ]
    [ -z "$(ls -A "$ENGINE/.cache/work")" ]
    (cd "$SET" && sha256sum --check --strict --quiet "$NAME.qcow2.sha256")
    [[ $(<"$SET/$NAME.qcow2.sha256") =~ ^[0-9a-f]{64}\ \ debian-12-custom\.qcow2$ ]]
    [ "$(<"$SET/image-version.txt")" = "DEBIAN_VERSION=12.11" ]

    [ "$(record schema)" = 1 ]
    [ "$(record image)" = "\"$NAME\"" ]
    [ "$(record sha256)" = "\"$(cut -c-64 "$SET/$NAME.qcow2.sha256")\"" ]
    [ "$(record built_from)" = "{\"commit\": \"$commit\", \"dirty\": false}" ]
    [ "$(record base_image.url)" = "\"$BASE\"" ]
    [ "$(record base_image.digest)" = "\"sha512:$(sha512sum "$BASE" | cut -c-128)\"" ]
    [ "$(record versions)" = '{"DEBIAN_VERSION": "12.11"}' ]
    local list
    for list in "packages $NAME.cdx.json" "files $NAME.files.gz"; do
        [ "$(record "${list% *}.file")" = "\"${list#* }\"" ]
        [ "$(record "${list% *}.sha256")" = "\"$(sha256sum <"$SET/${list#* }" | cut -c-64)\"" ]
        [ "$(record "${list% *}.size")" = "$(stat -c %s "$SET/${list#* }")" ]
    done
    gzip -dc "$SET/$NAME.files.gz" | cmp - "$BATS_TEST_DIRNAME/stub/files.tsv"
    [ "$(record boot)" = null ]
    [[ $(record built_at) =~ ^\"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z\"$ ]]

    [ "$(qemu-img info --output=json "$SET/$NAME.qcow2" | python3 -c 'import json,sys; print(json.load(sys.stdin)["format"])')" = qcow2 ]
    [[ $(cat "$ENGINE"/logs/"$NAME"-*.log) == *"stub packer building"* ]]
}

@test "the image is readable by others, whoever fetches it" {
    umask 077
    build "$NAME"
    [ "$(stat -c %a "$SET")" = 755 ]
    [ "$(stat -c %a "$SET/$NAME.qcow2")" = 644 ]
}

@test "the key for the guest is new for each build and is gone afterwards" {
    build "$NAME"
    [ "$status" -eq 0 ]
    grep -q 'ssh_private_key_file=.*/seed/key' "$STUB_LOG"
    [ -z "$(find "$ENGINE" -name 'key*' -type f)" ]
}

@test "outside a git repository the record says that nothing is known" {
    build "$NAME"
    [ "$(record built_from)" = null ]
}

@test "an uncommitted, an untracked and an ignored input make the record dirty; documents and images do not" {
    commit_all
    echo "# note" >"$ENGINE/shared/notes.md"
    echo "# note" >"$ENGINE/templates/debian-13-pve/other.sh"
    build "$NAME"
    [ "$(record built_from.dirty)" = false ]

    echo "echo more" >>"$ENGINE/shared/scripts/update.sh"
    build "$NAME"
    [ "$(record built_from.dirty)" = true ]

    commit_all
    echo "echo more" >"$ENGINE/templates/$NAME/new.sh"
    build "$NAME"
    [ "$(record built_from.dirty)" = true ]

    rm "$ENGINE/templates/$NAME/new.sh"
    echo "*.swp" >"$BATS_TEST_TMPDIR/repo/.gitignore"
    commit_all
    echo x >"$ENGINE/shared/scripts/a.swp"
    build "$NAME"
    [ "$(record built_from.dirty)" = true ]
}

@test "an environment for another repository does not mislead the record" {
    local commit
    commit=$(commit_all)
    git init -q --object-format=sha1 "$BATS_TEST_TMPDIR/other"
    GIT_DIR=$BATS_TEST_TMPDIR/other/.git build "$NAME"
    [ "$(record built_from.commit)" = "\"$commit\"" ]
}

@test "unchanged inputs are not built again, and the last line and --exit-code say so" {
    build "$NAME"
    local before
    before=$(fingerprint)
    build "$NAME"
    [ "$status" -eq 0 ]
    [[ ${lines[0]} == "$NAME: unchanged since it was built, nothing to do"* ]]
    [ "${lines[-1]}" = "0 built, 1 unchanged, 0 failed" ]
    [ "$(builds)" -eq 1 ]
    [ "$(fingerprint)" = "$before" ]
    build --exit-code "$NAME"
    [ "$status" -eq 20 ]
}

@test "--force builds anyway" {
    build "$NAME"
    build --force "$NAME"
    [ "$status" -eq 0 ]
    [[ $output == *"because of --force"* ]]
    [ "$(builds)" -eq 2 ]
}

@test "a changed byte, mode, name or base image means a build that says what changed" {
    local count=1
    build "$NAME"
    expect_build() {
        count=$((count + 1))
        build "$NAME"
        [ "$status" -eq 0 ]
        [[ $output == *"this changed: "*"$1"* ]]
        [ "$(builds)" -eq "$count" ]
    }
    echo "#" >>"$ENGINE/shared/scripts/update.sh"
    expect_build shared/scripts/update.sh
    echo "#" >>"$ENGINE/templates/$NAME/template.pkr.hcl"
    expect_build "templates/$NAME/template.pkr.hcl"
    chmod -x "$ENGINE/templates/$NAME/cleanup.sh"
    expect_build "templates/$NAME/cleanup.sh"
    mv "$ENGINE/shared/scripts/guest.sh" "$ENGINE/shared/scripts/guest two.sh"
    expect_build guest
    printf x >>"$BASE"
    expect_build base-image
    DISK_SIZE=5G expect_build DISK_SIZE
}

@test "another image's template, documents and build.sh's own files do not cause a build" {
    build "$NAME"
    echo "#" >>"$ENGINE/templates/debian-13-pve/cleanup.sh"
    echo "text" >"$ENGINE/shared/README.md"
    echo "#" >>"$ENGINE/checksums.sh"
    build "$NAME"
    [ "$(builds)" -eq 1 ]
}

@test "an image that is damaged, or has lost its record, is built again" {
    build "$NAME"
    printf x | dd of="$SET/$NAME.qcow2" bs=1 seek=70000 conv=notrunc status=none
    build "$NAME"
    [[ $output == *"does not match its checksum and record"* ]]
    rm "$SET/$NAME.build.json"
    build "$NAME"
    rm "$SET/$NAME.qcow2"
    build "$NAME"
    [ "$(builds)" -eq 4 ]
    (cd "$SET" && sha256sum --check --quiet "$NAME.qcow2.sha256")
}

@test "a failed build leaves the last good image, names the log and builds again next time" {
    build "$NAME"
    local before mode
    before=$(fingerprint)
    echo "#" >>"$ENGINE/shared/scripts/update.sh"
    for mode in fail no-disk; do
        STUB_PACKER=$mode build "$NAME"
        [ "$status" -eq 1 ]
        [[ $stderr == *"the build failed; the log is $ENGINE/logs/$NAME-"* ]]
        [ "$(fingerprint)" = "$before" ]
    done
    build "$NAME"
    [ "${lines[-1]}" = "1 built, 0 unchanged, 0 failed" ]
}

@test "a first build that fails leaves no image, and no key that would pass it for built" {
    STUB_PACKER=fail build "$NAME"
    [ "$status" -eq 1 ]
    [ ! -e "$SET" ]
    [ -z "$(find "$ENGINE/images" -type f)" ]
}

@test "one image that fails does not keep the others from being built" {
    rm -r "$ENGINE/templates/debian-13-pve"
    unset BASE_IMAGE_URL
    sed -i "s#https://cloud.debian.org/[^\"]*qcow2#file://$BASE#; s#file:https://[^\"]*SHA512SUMS#sha512:$(sha512sum "$BASE" | cut -c-128)#" \
        "$ENGINE"/templates/*/template.pkr.hcl
    sed -i 's#base.qcow2#gone.qcow2#' "$ENGINE/templates/debian-12-custom/template.pkr.hcl"
    build
    [ "$status" -eq 1 ]
    [[ $stderr == *"failed: debian-12-custom"* ]]
    [ "${lines[-1]}" = "1 built, 0 unchanged, 1 failed" ]
    [ -f "$ENGINE/images/debian-13-custom/debian-13-custom.qcow2" ]
}

@test "no ssh under KVM: names a nested KVM and the way to TCG; under TCG: the time" {
    ACCELERATOR=kvm STUB_PACKER=no-ssh build "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"nested KVM"*"ACCELERATOR=tcg"* ]]
    STUB_PACKER=no-ssh build "$NAME"
    [[ $stderr == *"SSH_TIMEOUT="* ]]
    [[ $stderr != *"nested KVM"* ]]
}

@test "ACCELERATOR=auto takes KVM where it can be opened, else TCG, and says which" {
    ACCELERATOR=auto KVM_DEVICE=$BATS_TEST_TMPDIR/none build "$NAME"
    [[ $output == *"accelerator: TCG, because"*"slow"* ]]
    grep -q 'accelerator=tcg' "$STUB_LOG"
    : >"$BATS_TEST_TMPDIR/kvm"
    ACCELERATOR=auto KVM_DEVICE=$BATS_TEST_TMPDIR/kvm build --force "$NAME"
    [[ $output == *"accelerator: KVM"* ]]
    grep -q 'accelerator=kvm' "$STUB_LOG"
    ACCELERATOR=fast build "$NAME"
    [ "$status" -eq 2 ]
}

@test "a device that is there and can't be opened is no KVM" {
    mkdir "$BATS_TEST_TMPDIR/kvm"
    ACCELERATOR=auto KVM_DEVICE=$BATS_TEST_TMPDIR/kvm build "$NAME"
    [[ $output == *"accelerator: TCG, because $BATS_TEST_TMPDIR/kvm cannot be opened"* ]]
}

@test "what is not installed is named, all at once, with how to install it" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    ln -s /usr/bin/* "$BATS_TEST_TMPDIR/bin/"
    rm -f "$BATS_TEST_TMPDIR"/bin/{packer,qemu-img,xorriso,mkisofs,genisoimage}
    PATH=$BATS_TEST_TMPDIR/bin build "$NAME"
    [ "$status" -eq 3 ]
    [[ $stderr == *"not installed: packer qemu-img"*"apt-get install packer qemu-utils"*"Debian 13"* ]]
    mkdir "$BATS_TEST_TMPDIR/more"
    ln -s "$(command -v qemu-img)" "$BATS_TEST_TMPDIR/more/"
    PATH=$BATS_TEST_DIRNAME/stub:$BATS_TEST_TMPDIR/more:$BATS_TEST_TMPDIR/bin build "$NAME"
    [ "$status" -eq 3 ]
    [[ $stderr == *"not installed: xorriso"*"apt-get install xorriso"* ]]
}

@test "another program that is called packer is named, and neither waited for nor run" {
    local other=$BATS_TEST_TMPDIR/cracklib
    mkdir "$other"
    # shellcheck disable=SC2016 # for the scripts
    printf '#!/bin/sh\ncat >"$0.read"\necho 0 0\n' >"$other/packer"
    chmod +x "$other/packer"
    export PATH=$other:$PATH
    stay "$ENGINE/build.sh" --version
    [ "$status" -eq 0 ]
    [[ $output == *"another program of that name"* ]]
    for arguments in "$NAME" "--validate $NAME"; do
        # shellcheck disable=SC2086 # words
        stay "$ENGINE/build.sh" $arguments
        [ "$status" -eq 3 ]
        [[ $stderr == *"is another program here ($other/packer;"*"HashiCorp"* ]]
    done
    [ ! -s "$other/packer.read" ]
    printf '#!/bin/sh\nexec sleep 300\n' >"$other/packer"
    run --separate-stderr timeout 60 "$ENGINE/build.sh" --version
    [ "$status" -eq 0 ]
    [[ $output == *"another program of that name"* ]]
}

@test "files for newer versions of packer are added for these alone" {
    build "$NAME"
    [[ $(<"$STUB_LOG.folder") == *shared-qemu.pkr.hcl* ]]
    [[ $(<"$STUB_LOG.folder") != *required-plugins* ]]
    run ! grep -q '^init' "$STUB_LOG"
    local version
    for version in 1.7.0 1.10.3 1.14.0; do
        STUB_VERSION=$version build --force "$NAME"
        [ "$status" -eq 0 ]
        [[ $(<"$STUB_LOG.folder") == *shared-required-plugins.pkr.hcl* ]]
    done
    [ "$(grep -c '^init' "$STUB_LOG")" -eq 3 ]
}

@test "settings come from build.env, the environment first; an unknown one is refused" {
    printf '# of this host\nMEMORY=3072\nCPUS=1\n' >"$ENGINE/build.env"
    CPUS=4 build "$NAME"
    [ "$status" -eq 0 ]
    grep -q -- 'memory=3072' "$STUB_LOG"
    grep -q -- 'cpus=4' "$STUB_LOG"
    echo 'MEMROY=1' >"$ENGINE/build.env"
    build "$NAME"
    [ "$status" -eq 2 ]
    [[ $stderr == *"not a setting: MEMROY=1"* ]]
}

@test "quotes in build.env are read as a shell reads them; one that is not closed is refused" {
    printf 'MEMORY="3072"\r\nCPUS='\''1'\''\nBASE_IMAGE_CHECKSUM=""\n' >"$ENGINE/build.env"
    build "$NAME"
    [ "$status" -eq 0 ]
    grep -q -- 'memory=3072' "$STUB_LOG"
    grep -q -- 'cpus=1' "$STUB_LOG"
    local line
    for line in 'MEMORY="3072' "MEMORY=3072'" 'MEMORY="' "MEMORY=\"3072'"; do
        echo "$line" >"$ENGINE/build.env"
        build "$NAME"
        [ "$status" -eq 2 ]
        [[ $stderr == *"unclosed quote: $line"* ]]
    done
}

@test "without room for a build nothing is built, and both numbers are named" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\nprintf "Avail\\n1000000\\n"\n' >"$BATS_TEST_TMPDIR/bin/df"
    chmod +x "$BATS_TEST_TMPDIR/bin/df"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH build "$NAME"
    [ "$status" -eq 3 ]
    [[ $stderr == *"a build needs about 102"[0-9]" MiB, and 1 MiB are free"*"make room"* ]]
    run ! grep -q '^build' "$STUB_LOG"
}

@test "an image above its template's limit is refused, close to it told, and --allow-large takes it" {
    echo 'max_size = 100K' >"$ENGINE/templates/$NAME/limits"
    build "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"above the limit of 0 MiB in templates/$NAME/limits"*"--allow-large $NAME"* ]]
    [ ! -e "$SET" ]
    build --allow-large "$NAME"
    [ "$status" -eq 0 ]
    [[ $stderr == *"warning: $NAME has "*"as --allow-large allows"* ]]
    # Below the limit, above nine tenths of it.
    echo "max_size = $(($(stat -c %s "$SET/$NAME.qcow2") * 105 / 100 / 1024))K # more or less" >"$ENGINE/templates/$NAME/limits"
    build --force "$NAME"
    [ "$status" -eq 0 ]
    [[ $stderr == *"close to the limit"* ]]
    local line
    for line in 'max_size = much' 'max_size' 'size = 1G' 'max_size = -1' 'max_size = 0'; do
        echo "$line" >"$ENGINE/templates/$NAME/limits"
        build --force "$NAME"
        [ "$status" -eq 2 ]
        [[ $stderr == *"not a limit: $line"* ]]
    done
}

@test "the same disk gives the same bytes" {
    head -c 9000000 /dev/urandom >"$BATS_TEST_TMPDIR/raw"
    head -c 9000000 /dev/zero >>"$BATS_TEST_TMPDIR/raw"
    qemu-img convert -O qcow2 -f raw "$BATS_TEST_TMPDIR/raw" "$BATS_TEST_TMPDIR/disk.qcow2"
    # shellcheck disable=SC2016 # for the shell that is started
    run bash -euo pipefail -c '
        PACKER_DIR=$1 WORK=$2 COMPRESSION=zlib
        for part in common.sh children.sh packer.sh; do . "$1/lib/$part"; done
        clean_up() { :; }
        LOG=$2/log
        for number in 1 2 3 4; do compress_disk "$2/disk.qcow2" "$2/$number.qcow2" zlib; done
        sha256sum "$2"/[1-4].qcow2 | cut -c-64 | sort -u | wc -l' bash "$ENGINE" "$BATS_TEST_TMPDIR"
    [ "$status" -eq 0 ]
    [ "${lines[-1]}" = 1 ]
    run ! grep -rnE -- 'qemu-img convert.* -W' "$ENGINE/lib"
}

@test "a template may ask for zstd, the environment goes first, and the inputs say which it is" {
    printf '\nvariable "compression" {\n  type    = string\n  default = "zstd"\n}\n' >>"$ENGINE/templates/$NAME/template.pkr.hcl"
    build "$NAME"
    [ "$status" -eq 0 ]
    [ "$(record inputs.settings.COMPRESSION)" = '"zstd"' ]
    qemu-img info "$SET/$NAME.qcow2" | grep -q 'compression type: zstd'
    COMPRESSION=zlib build "$NAME"
    [[ $output == *"this changed: COMPRESSION"* ]]
    qemu-img info "$SET/$NAME.qcow2" | grep -q 'compression type: zlib'
    sed -i 's/"zstd"/"lzma"/' "$ENGINE/templates/$NAME/template.pkr.hcl"
    build "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *'compression in its template is "lzma"'* ]]
}

@test "the record says what built the image" {
    build "$NAME"
    [ "$(record builder)" = '{"packer": "1.6.6", "plugin": null, "qemu": "7.2.0"}' ]
    STUB_VERSION=1.11.2 build --force "$NAME"
    [ "$(record builder.packer)" = '"1.11.2"' ]
    [[ $(record builder.plugin) =~ ^\"[0-9]+(\.[0-9]+)+\"$ ]]
    # One version, so that two builds of one commit have the same builder.
    grep -qE '^ *version *= "[0-9.]+"$' "$ENGINE/shared/packer/required-plugins.pkr.hcl"
}

@test "an image tells what it is: its name, the version of the commit or of --source, the day, the commit" {
    export STUB_IDENTITY=$BATS_TEST_TMPDIR/identity
    build "$NAME"
    [ "$(<"$STUB_IDENTITY")" = "IMAGE_ID=$NAME"$'\n'"IMAGE_BUILD_DATE=$(date -u +%Y-%m-%d)" ]
    local commit
    commit=$(commit_all)
    git -C "$BATS_TEST_TMPDIR/repo" tag v0.9
    git -C "$BATS_TEST_TMPDIR/repo" tag v0.10
    git -C "$BATS_TEST_TMPDIR/repo" tag "v1-odd#"
    build --force "$NAME"
    [ "$(grep -c . "$STUB_IDENTITY")" -eq 4 ]
    grep -qx IMAGE_VERSION=v0.10 "$STUB_IDENTITY"
    grep -qx "IMAGE_COMMIT=$commit" "$STUB_IDENTITY"
    build --force --source v0.45 "$NAME"
    grep -qx IMAGE_VERSION=v0.45 "$STUB_IDENTITY"
    # What is not as committed is not that version.
    echo "#" >>"$ENGINE/shared/scripts/update.sh"
    build "$NAME"
    run ! grep -q IMAGE_VERSION "$STUB_IDENTITY"
    grep -qx "IMAGE_COMMIT=$commit-dirty" "$STUB_IDENTITY"
    local version
    for version in '' 'v1;x' 0.45 $'v1\nX=1'; do
        build --source "$version" "$NAME"
        [ "$status" -eq 2 ]
    done
}

@test "a new version, tests and limits are no reason to build, and no change of the commit" {
    commit_all
    build "$NAME"
    git -C "$BATS_TEST_TMPDIR/repo" tag v0.46
    mkdir -p "$ENGINE/templates/$NAME/tests"
    printf '#!/bin/sh\ntrue\n' >"$ENGINE/templates/$NAME/tests/more.sh"
    chmod +x "$ENGINE/templates/$NAME/tests/more.sh"
    echo 'max_size = 3G' >"$ENGINE/templates/$NAME/limits"
    build "$NAME"
    [ "${lines[-1]}" = "0 built, 1 unchanged, 0 failed" ]
    build --force "$NAME"
    [ "$(record built_from.dirty)" = false ]
    [[ $(record inputs) != *tests/* && $(record inputs) != *limits* ]]
}

@test "BASE_IMAGE_URL is refused for more than one image" {
    build
    [ "$status" -eq 2 ]
    [[ $stderr == *"name the one image"* ]]
}

@test "a base image with another digest is refused before packer starts" {
    BASE_IMAGE_CHECKSUM=sha512:$(printf 'a%.0s' {1..128}) build "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"does not have the digest"* ]]
    [ ! -e "$STUB_LOG" ]
}

@test "a password in the base image's URL reaches neither record nor output" {
    mkdir "$BATS_TEST_TMPDIR/www"
    cp "$BASE" "$BATS_TEST_TMPDIR/www/"
    (cd "$BATS_TEST_TMPDIR/www" && sha512sum base.qcow2 >SHA512SUMS)
    start_server "$BATS_TEST_TMPDIR/www"
    BASE_IMAGE_URL=http://someone:hunter2@127.0.0.1:$PORT/base.qcow2 build "$NAME"
    stop_server
    [ "$status" -eq 0 ]
    [ "$(record base_image.url)" = "\"http://127.0.0.1:$PORT/base.qcow2\"" ]
    [[ $output$stderr != *hunter2* ]]
    run ! grep -rq hunter2 "$ENGINE/logs" "$ENGINE/images"
}

@test "the record has the base image's address that stays: the dated folder with the same digest" {
    local www=$BATS_TEST_TMPDIR/www digest
    digest=$(sha512sum "$BASE" | cut -c-128)
    mkdir -p "$www"/trixie/{latest,20261110-2290,20261117-2299,20261201-1}
    cp "$BASE" "$www/trixie/latest/debian.qcow2"
    echo "$digest  debian.qcow2" >"$www/trixie/latest/SHA512SUMS"
    # Debian's files have the version in their names there.
    echo "$digest  debian-20261117-2299.qcow2" >"$www/trixie/20261117-2299/SHA512SUMS"
    echo "${digest//[0-9]/a}  debian-20261201-1.qcow2" >"$www/trixie/20261201-1/SHA512SUMS"
    start_server "$www"
    export BASE_IMAGE_URL=http://x:secret@127.0.0.1:$PORT/trixie/latest/debian.qcow2
    build "$NAME"
    [ "$status" -eq 0 ]
    [ "$(record base_image.url)" = "\"http://127.0.0.1:$PORT/trixie/20261117-2299/debian-20261117-2299.qcow2\"" ]
    [ "$(record base_image.digest)" = "\"sha512:$digest\"" ]
    # No folder has it, or one names what is no file's name: then the address as it was.
    echo "$digest  ../../../x.qcow2" >"$www/trixie/20261117-2299/SHA512SUMS"
    build --force "$NAME"
    stop_server
    [ "$(record base_image.url)" = "\"http://127.0.0.1:$PORT/trixie/latest/debian.qcow2\"" ]
    BASE_IMAGE_URL=file://$www/trixie/latest/debian.qcow2 build --force "$NAME"
    [ "$(record base_image.url)" = "\"file://$www/trixie/latest/debian.qcow2\"" ]
    echo "$digest *debian.qcow2" >"$www/trixie/20261117-2299/SHA512SUMS"
    BASE_IMAGE_URL=file://$www/trixie/latest/debian.qcow2 build --force "$NAME"
    [ "$(record base_image.url)" = "\"file://$www/trixie/20261117-2299/debian.qcow2\"" ]
}

@test "an interrupted download goes on where it stopped, and a wrong one starts over" {
    mkdir "$BATS_TEST_TMPDIR/www" "$ENGINE/.cache" "$ENGINE/.cache/base"
    head -c 200000 /dev/urandom >"$BATS_TEST_TMPDIR/www/base.qcow2"
    (cd "$BATS_TEST_TMPDIR/www" && sha512sum base.qcow2 >SHA512SUMS)
    local digest
    digest=$(cut -c-128 "$BATS_TEST_TMPDIR/www/SHA512SUMS")
    start_server "$BATS_TEST_TMPDIR/www"
    export BASE_IMAGE_URL=http://127.0.0.1:$PORT/base.qcow2

    head -c 200000 /dev/zero >"$ENGINE/.cache/base/$digest.part"
    build "$NAME"
    [ "$status" -eq 1 ]
    build "$NAME"
    [ "$status" -eq 0 ]
    cmp "$BATS_TEST_TMPDIR/www/base.qcow2" "$ENGINE/.cache/base/$digest.qcow2"
    # The mirror is not asked for the image again.
    rm "$BATS_TEST_TMPDIR/www/base.qcow2"
    build --force "$NAME"
    [ "$status" -eq 0 ]
    # Of what is not there nothing is to be gone on with.
    rm -r "$ENGINE/.cache/base"
    build --force "$NAME"
    stop_server
    [ "$status" -eq 1 ]
    [[ $stderr == *"check the network, and that the address is right"* && $stderr != *"try again"* ]]
}

@test "files that somebody keeps beside an image stay; parts of the image that was replaced go" {
    build "$NAME"
    echo keep >"$SET/NOTES"
    echo old >"$SET/$NAME.qcow2.partaa"
    build --force "$NAME"
    [ "$(<"$SET/NOTES")" = keep ]
    [ ! -e "$SET/$NAME.qcow2.partaa" ]
}
