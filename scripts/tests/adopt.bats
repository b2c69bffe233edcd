#!/usr/bin/env bats
# adopt: the tool in somebody else's repository.

# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # bats runs each test in a shell of its own and sets these; texts are chosen by name

bats_require_minimum_version 1.5.0

# A source with a history of its own, and a repository to adopt into.
setup() {
    local root=$BATS_TEST_DIRNAME/../..
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
    SOURCE=$BATS_TEST_TMPDIR/source DIR=$BATS_TEST_TMPDIR/theirs
    mkdir -p "$SOURCE/scripts" "$SOURCE/xtask/src/verbs" "$SOURCE/.cargo" "$DIR"
    cp "$root/scripts/adopt" "$SOURCE/scripts/"
    cp "$root/Cargo.toml" "$root/Cargo.lock" "$SOURCE/"
    cp "$root/.cargo/config.toml" "$SOURCE/.cargo/"
    cp -r "$root/xtask/Cargo.toml" "$root/xtask/assets" "$SOURCE/xtask/"
    echo 'fn main() {}' >"$SOURCE/xtask/src/main.rs"
    echo '//! One.' >"$SOURCE/xtask/src/verbs/one.rs"
    echo target >"$SOURCE/.gitignore"
    git -C "$SOURCE" init --quiet
    commit "$SOURCE"
    git -C "$DIR" init --quiet
    printf 'images/\nlogs/' >"$DIR/.gitignore"
    commit "$DIR"
}

commit() {
    git -C "$1" add --all
    git -C "$1" -c user.name=x -c user.email=x@example.org commit --quiet --message x
}

adopt() {
    run --separate-stderr "$SOURCE/scripts/adopt" "$@"
}

# refused WORDS…: exit code 3, these words, and nothing was written.
refused() {
    local before after word
    before=$(git -C "$DIR" status --porcelain --untracked-files=all)
    adopt "$DIR"
    [ "$status" -eq 3 ]
    for word in "$@"; do [[ $stderr == *"$word"* ]] || { echo "no $word in: $stderr" >&2 && return 1; }; done
    after=$(git -C "$DIR" status --porcelain --untracked-files=all)
    [ "$before" = "$after" ]
}

# members: what cargo takes for members of the workspace.
members() {
    cargo metadata --no-deps --offline --format-version 1 --manifest-path "$DIR/Cargo.toml" |
        jq -r '[.packages[].name] | sort | join(" ")'
}

@test "adopt: into a repository, twice, and the newer version later" {
    adopt "$DIR"
    [ "$status" -eq 0 ]
    [[ $output == *"cargo xtask packer check"*"cargo xtask packer release"* ]]
    [ "$(git -C "$DIR" status --porcelain | sort | paste -sd' ')" = " M .gitignore ?? .cargo/ ?? Cargo.lock ?? Cargo.toml ?? xtask/" ]
    [ "$(cat "$DIR/.gitignore")" = $'images/\nlogs/\n/target' ]
    [ "$(members)" = xtask ]
    # As cargo itself would write it.
    run ! grep -q -e tokio -e hyper "$DIR/Cargo.lock"
    grep -q '^name = "sha2"' "$DIR/Cargo.lock"
    diff -r "$SOURCE/xtask" "$DIR/xtask"
    commit "$DIR"
    adopt "$DIR"
    [ "$status" -eq 0 ]
    [[ $output == *"is up to date"* ]]
    [ -z "$(git -C "$DIR" status --porcelain)" ]

    echo '//! Two.' >"$SOURCE/xtask/src/verbs/two.rs"
    echo 'fn main() { verbs() }' >"$SOURCE/xtask/src/main.rs"
    rm "$SOURCE/xtask/src/verbs/one.rs"
    echo '//! Theirs.' >"$DIR/xtask/src/own.rs"
    adopt "$DIR"
    [ "$status" -eq 0 ]
    [[ $output == *"1 new, 1 updated, 1 removed"* ]]
    [ -f "$DIR/xtask/src/own.rs" ]
    rm "$DIR/xtask/src/own.rs"
    diff -r "$SOURCE/xtask" "$DIR/xtask"
}

@test "adopt: what was changed there is named and kept" {
    adopt "$DIR"
    echo '// mine' >>"$DIR/xtask/src/verbs/one.rs"
    refused "xtask/src/verbs/one.rs was changed" "nothing was written" --force
    [[ $stderr != *main.rs* ]]
    adopt --force "$DIR"
    [ "$status" -eq 0 ]
    diff -r "$SOURCE/xtask" "$DIR/xtask"
}

@test "adopt: an xtask of their own, and what is no folder" {
    mkdir -p "$DIR/xtask/src"
    printf '[package]\nname = "xtask"\nversion = "1.0.0"\n' >"$DIR/xtask/Cargo.toml"
    echo 'fn main() { println!("theirs"); }' >"$DIR/xtask/src/main.rs"
    refused xtask/Cargo.toml xtask/src/main.rs
    rm -r "$DIR/xtask"
    ln -s /nosuch "$DIR/xtask"
    refused "xtask is not a folder"
    rm "$DIR/xtask"
    mkdir "$DIR/Cargo.lock"
    refused "Cargo.lock is not a file"
    rmdir "$DIR/Cargo.lock"
    ln -s "$BATS_TEST_TMPDIR/elsewhere" "$DIR/Cargo.lock"
    refused "Cargo.lock is a symlink"
    [ ! -e "$BATS_TEST_TMPDIR/elsewhere" ]
    rm "$DIR/Cargo.lock"
    mkdir "$DIR/.cargo"
    printf '[alias]\nxtask = "run --bin other --"\n' >"$DIR/.cargo/config.toml"
    refused "another alias named xtask"
}

@test "adopt: into workspaces of several forms" {
    mkdir -p "$DIR/a/src" "$DIR/src"
    printf '[package]\nname = "a"\nversion = "1.0.0"\nedition = "2018"\n' >"$DIR/a/Cargo.toml"
    touch "$DIR/a/src/lib.rs" "$DIR/src/lib.rs"
    local one several none package lock=$'# theirs\nversion = 4\n'
    one=$'[workspace]\nmembers = ["a"]\n\n[workspace.package]\nedition = "2018"\nversion = "9.0.0"\n'
    several=$'[workspace]\nresolver = "2"\nmembers = [\n    "a", # one\n]\n'
    none=$'[package]\nname = "top"\nversion = "1.0.0"\nedition = "2021"\n\n[workspace]\nexclude = ["a"]\n'
    package=$'[package]\nname = "top"\nversion = "1.0.0"\n\n[dependencies]\n'
    while IFS='|' read -r text expected; do
        printf %s "${!text}" >"$DIR/Cargo.toml"
        printf %s "$lock" >"$DIR/Cargo.lock"
        rm -rf "$DIR/xtask"
        adopt "$DIR"
        echo "$text: $status $output $stderr" && cat "$DIR/Cargo.toml"
        [ "$status" -eq 0 ]
        [ "$(members)" = "$expected" ]
        [ "$(cat "$DIR/Cargo.lock")" = "$(printf %s "$lock")" ]
        cp "$DIR/Cargo.toml" "$BATS_TEST_TMPDIR/before"
        adopt "$DIR"
        cmp "$DIR/Cargo.toml" "$BATS_TEST_TMPDIR/before"
    done <<'TABLE'
one|a xtask
several|a xtask
none|top xtask
package|top xtask
TABLE
    # One that cargo refuses is left as it was.
    printf '[workspace]\nmembers = ["a", "gone"]\n' >"$DIR/Cargo.toml"
    adopt "$DIR"
    [ "$status" -eq 3 ]
    [[ $stderr == *"cargo refuses xtask as a member"* ]]
    [ "$(cat "$DIR/Cargo.toml")" = $'[workspace]\nmembers = ["a", "gone"]' ]
}

@test "adopt: an alias beside theirs, and what git ignores already" {
    mkdir "$DIR/.cargo"
    printf '[build]\njobs = 2\n\n[alias]\nb = "build"\n' >"$DIR/.cargo/config.toml"
    printf 'target/\n' >"$DIR/.gitignore"
    adopt "$DIR"
    [ "$status" -eq 0 ]
    [ "$(cat "$DIR/.cargo/config.toml")" = $'[build]\njobs = 2\n\n[alias]\nxtask = "run --quiet --package xtask --"\nb = "build"' ]
    [ "$(cat "$DIR/.gitignore")" = target/ ]
    printf 'Cargo.lock\n' >>"$DIR/.gitignore"
    adopt "$DIR"
    [[ $output == *"git ignores Cargo.lock"* ]]
}

@test "adopt: folders that are none to adopt into" {
    adopt
    [ "$status" -eq 2 ]
    adopt --nosuch "$DIR"
    [ "$status" -eq 2 ]
    adopt "$SOURCE"
    [ "$status" -eq 2 ]
    [[ $stderr == *"is the repository that has the tool"* ]]
    adopt "$BATS_TEST_TMPDIR/nosuch"
    [ "$status" -eq 3 ]
    mkdir -p "$BATS_TEST_TMPDIR/plain" "$DIR/below"
    adopt "$BATS_TEST_TMPDIR/plain"
    [ "$status" -eq 3 ]
    [[ $stderr == *"is not a git work tree"*"git init"* ]]
    adopt "$DIR/below"
    [ "$status" -eq 3 ]
    [[ $stderr == *"scripts/adopt $DIR"* ]]
    [ -z "$(ls "$BATS_TEST_TMPDIR/plain")" ] && [ -z "$(ls "$DIR/below")" ]
}

@test "adopt: without a history nothing there is taken for an earlier version" {
    rm -rf "$SOURCE/.git"
    adopt "$DIR"
    [ "$status" -eq 0 ]
    echo 'fn main() { more() }' >"$SOURCE/xtask/src/main.rs"
    refused "xtask/src/main.rs was changed"
}

@test "adopt: lines to copy are quoted" {
    local odd="$BATS_TEST_TMPDIR/a b; touch x" quoted
    mkdir "$odd"
    quoted=$(printf %q "$odd")
    adopt "$odd"
    [[ $stderr == *"\`git init $quoted\`"* ]]
    git -C "$odd" init --quiet
    adopt "$odd"
    [ "$status" -eq 0 ]
    [[ $output == *"cd $quoted && cargo xtask packer check"* ]]
    mkdir "$odd/below"
    adopt "$odd/below"
    [[ $stderr == *"run scripts/adopt $quoted" ]]
}

@test "adopt: a cargo that is too old or doesn't run is named" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    export PATH=$BATS_TEST_TMPDIR/bin:$PATH
    printf '#!/bin/sh\necho "cargo 1.70.0 (7fe40dc8c 2023-04-27)"\n' >"$BATS_TEST_TMPDIR/bin/cargo"
    chmod +x "$BATS_TEST_TMPDIR/bin/cargo"
    adopt "$DIR"
    [ "$status" -eq 0 ]
    [[ $output == *"uses cargo 1.70.0, and xtask needs Rust 1."*"rustup update"* ]]
    # As rustup's, where the toolchain that the repository names is not installed.
    printf '#!/bin/sh\necho "error: toolchain is not installed" >&2\nexit 1\n' >"$BATS_TEST_TMPDIR/bin/cargo"
    mkdir "$DIR/src" && touch "$DIR/src/lib.rs"
    printf '[package]\nname = "top"\nversion = "1.0.0"\n' >"$DIR/Cargo.toml"
    adopt "$DIR"
    [ "$status" -eq 0 ]
    [[ $output == *"No cargo runs in this repository"*"error: toolchain is not installed"* ]]
    grep -q 'members = \["xtask"\]' "$DIR/Cargo.toml"
}

@test "adopt: a login that may not write there" {
    [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null || skip "needs root to become somebody else"
    chmod 755 "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")"
    export TMPDIR=/tmp GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
    run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups "$SOURCE/scripts/adopt" "$DIR"
    echo "$output $stderr"
    [ "$status" -eq 3 ]
    [[ $stderr == *"the folder is not writable"* ]]
}
