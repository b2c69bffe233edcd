#!/usr/bin/env bats
# What an image is made of: the list that build.sh prints, records and compares.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154 # bats runs each test in a shell of its own and sets these

bats_require_minimum_version 1.5.0
load helper
setup() { setup_packer; }

# listed: the files of $NAME as --inputs prints them, in the form of `git ls-tree`.
listed() {
    build --inputs "$NAME"
    [ "$status" -eq 0 ] || { echo "$stderr" >&2 && return 1; }
    python3 -c 'import json, sys
for file in json.loads(sys.argv[1])["images"][0]["inputs"]["files"]:
    print(file["mode"], "blob", file["id"] + "\t" + file["path"])' "$output"
}

# in_git: what the last commit has of it. What the image is asked and how large it may get are no inputs.
in_git() {
    git -C "$ENGINE" ls-tree -r HEAD -- "templates/$NAME" shared | grep -v "templates/$NAME/\(tests/\|limits$\)"
}

repo_git() {
    git -C "$BATS_TEST_TMPDIR/repo" -c user.name=test -c user.email=test@example.org "$@"
}

@test "--inputs prints what the commit has, names narrow it, and nothing is built or left" {
    commit_all
    [ "$(listed)" = "$(in_git)" ]
    [ ! -e "$ENGINE/images" ]
    [ ! -e "$ENGINE/.cache" ]
    unset BASE_IMAGE_URL
    sed -i "s#https://cloud.debian.org/[^\"]*qcow2#file://$BASE#; s#file:https://[^\"]*SHA512SUMS#file:/nonexistent#" \
        "$ENGINE"/templates/*/template.pkr.hcl
    build --inputs
    [ "$status" -eq 0 ]
    [ "$(python3 -c 'import json, sys
print([(image["name"], image["inputs"]["base_image"]) for image in json.loads(sys.argv[1])["images"]])' "$output")" = \
        "[('debian-12-custom', None), ('debian-13-custom', None), ('debian-13-pve', None)]" ]
    [[ $stderr == *"/nonexistent"* ]]
    build --inputs debian-11
    [ "$status" -eq 2 ]
}

@test "the record has the list, and the key is that list" {
    COMPRESSION=zstd build "$NAME"
    [ "$status" -eq 0 ]
    [ "$(COMPRESSION=zstd "$ENGINE/build.sh" --inputs "$NAME" |
        python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["images"][0]["inputs"]))')" = "$(record inputs)" ]
    [ "$(record inputs.base_image)" = "\"sha512:$(sha512sum "$BASE" | cut -c-128)\"" ]
    [ "$(record inputs.settings)" = '{"DISK_SIZE": "", "COMPRESSION": "zstd"}' ]
    [ "$(grep -c '^file ' "$SET/.cache-key")" -eq "$(listed | wc -l)" ]
}

@test "the list is of the bytes and modes on disk, whatever git would make of them" {
    printf '*.sh text eol=crlf ident\n*.hcl filter=upper\n/shared/scripts/update.sh export-ignore export-subst\n' \
        >"$ENGINE/.gitattributes"
    printf '*.swp\n' >"$ENGINE/.gitignore"
    commit_all
    repo_git config core.autocrlf true
    repo_git config core.fileMode false
    repo_git config filter.upper.clean 'tr a-z A-Z'
    echo x >"$ENGINE/shared/a.swp"
    # shellcheck disable=SC2016
    printf 'one\r\n# $Id$\r\n' >"$ENGINE/templates/$NAME/cleanup.sh"
    chmod -x "$ENGINE/shared/scripts/update.sh"
    ln -s scripts/update.sh "$ENGINE/shared/link"
    local expected='' file mode
    while IFS= read -r file; do
        mode=100644
        [ ! -x "$ENGINE/$file" ] || mode=100755
        expected+="$mode blob $(git -C "$ENGINE" hash-object --no-filters "$ENGINE/$file")"$'\t'"$file"$'\n'
    done < <(cd "$ENGINE" && find "templates/$NAME" shared -type f ! -path '*/tests/*' ! -name limits)
    expected+="120000 blob $(printf %s scripts/update.sh | git -C "$ENGINE" hash-object --stdin)"$'\t'"shared/link"
    [ "$(listed)" = "$(LC_ALL=C sort -t $'\t' -k 2 <<<"$expected")" ]
    [ "$(listed | grep -c 'shared/a.swp\|shared/link')" -eq 2 ]
}

@test "what no list can hold, or no build would find, is refused by name before anything is built" {
    refused() {
        build "$NAME"
        [ "$status" -eq 1 ]
        [[ $stderr == *"$1"* ]] || { echo "$stderr" >&2 && return 1; }
        [ ! -e "$STUB_LOG" ]
        build --inputs "$NAME"
        [ "$status" -eq 1 ]
        [ -z "$output" ]
    }
    local shared=$ENGINE/shared
    ln -s ../../outside "$shared/out"
    refused "shared/out is a symlink that leads out"
    ln -sfn /etc/hostname "$shared/out"
    refused "shared/out is a symlink that leads out"
    rm "$shared/out"
    echo x >"$shared/a"$'\n'b
    refused "a file's name"
    rm "$shared/a"$'\n'b
    echo x >"$shared/"$'caf\xe9'
    refused "a file's name"
    rm "$shared/"$'caf\xe9'
    # What is no input does not reach the build.
    ln -s "../templates/$NAME/tests/release.sh" "$shared/test"
    refused "shared/test is a symlink to a file that is not an input"
    rm "$shared/test"
    mkfifo "$shared/fifo"
    refused "shared/fifo is not a file"
    rm "$shared/fifo"
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >"$shared/big"
    refused "shared/big is a pointer of Git LFS"
    rm "$shared/big"
    build "$NAME"
    [ "$status" -eq 0 ]
}

@test "a submodule that is not checked out is refused, and one that is there is read" {
    git init -q --object-format=sha1 "$BATS_TEST_TMPDIR/vendor"
    echo x >"$BATS_TEST_TMPDIR/vendor/a"
    git -C "$BATS_TEST_TMPDIR/vendor" add -A
    git -C "$BATS_TEST_TMPDIR/vendor" -c user.name=t -c user.email=t@example.org commit -q -m a
    commit_all
    repo_git -c protocol.file.allow=always submodule --quiet add "$BATS_TEST_TMPDIR/vendor" packer/shared/vendor
    commit_all
    [[ $(listed) == *shared/vendor/a* ]]
    [[ $(listed) != *shared/vendor/.git* ]]
    repo_git submodule --quiet deinit --force packer/shared/vendor
    build "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"shared/vendor is a submodule that is not checked out"*"git submodule update --init"* ]]
}

@test "a template that names a file outside of its snapshot is told before the build, and by --validate" {
    echo 'echo x' >"$ENGINE/extra.sh"
    cat >>"$ENGINE/templates/$NAME/template.pkr.hcl" <<'HCL'
# "${path.root}/../../build.sh" in a comment is none
locals {
  extra = "${path.root}/../../extra.sh"
  own   = "${path.root}/cleanup.sh"
  destination = "${path.root}/../../written.txt"
}
HCL
    echo x >"$ENGINE/written.txt"
    build "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"its template names extra.sh, which is not an input of the image"* ]]
    [[ $stderr != *"names build.sh"* ]] && [[ $stderr != *written.txt* ]]
    [ ! -e "$STUB_LOG" ]
    build --validate "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"its template names extra.sh"* ]]
    # shellcheck disable=SC2016 # packer's words
    sed -i 's#/../../extra.sh#/tests/release.sh#' "$ENGINE/templates/$NAME/template.pkr.hcl"
    build "$NAME"
    [ "$status" -eq 1 ]
    [[ $stderr == *"its template names templates/$NAME/tests/release.sh"* ]]
}
