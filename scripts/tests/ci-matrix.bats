#!/usr/bin/env bats
# ci-matrix: what check decides becomes a matrix.

# shellcheck disable=SC2154 # bats sets these

bats_require_minimum_version 1.5.0

CI_MATRIX=$BATS_TEST_DIRNAME/../ci-matrix

# answer [REBUILD…]: what `check --json` prints for three images, with rebuild for these.
answer() {
    jq -n --args '{status: "success", images: [
        "debian-12-custom", "debian-13-custom", "debian-13-pve" | {
            name: ., decision: (if IN($ARGS.positional[]) then "rebuild" else "skip" end)
        }]}' "$@"
}

# decide ANSWER ARGUMENT…
decide() {
    local input=$1
    shift
    run --separate-stderr "$CI_MATRIX" "$@" <<<"$input"
}

@test "ci-matrix: images that check says rebuild for, and those asked for, each once" {
    while IFS='|' read -r rebuild asked images build; do
        # shellcheck disable=SC2086 # a list
        decide "$(answer $rebuild)" v0.45 "$asked"
        echo "rebuild: $rebuild, asked: $asked: $output $stderr"
        [ "$status" -eq 0 ]
        [ "$output" = "images=$images"$'\n'"build=$build" ]
    done <<'TABLE'
||[]|false
debian-13-pve||["debian-13-pve"]|true
debian-12-custom debian-13-pve||["debian-12-custom","debian-13-pve"]|true
|debian-13-custom|["debian-13-custom"]|true
debian-13-pve|debian-13-pve|["debian-13-pve"]|true
debian-13-pve|  debian-12-custom   debian-13-custom |["debian-12-custom","debian-13-custom","debian-13-pve"]|true
TABLE
}

@test "ci-matrix: a decision it doesn't know is no skip" {
    decide '{"status":"success","images":[{"name":"a","decision":"perhaps"}]}' v0.45
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = 'images=["a"]' ]
}

@test "ci-matrix: an unknown image is refused, and the known ones are named; no name reaches a shell" {
    for asked in 'debian-14' 'debian-13-pve *' "\$(id)" '--help'; do
        decide "$(answer)" v0.45 "$asked"
        echo "$asked: $output $stderr"
        [ "$status" -eq 2 ]
        [ -z "$output" ]
        [[ $stderr == *'debian-12-custom, debian-13-custom, debian-13-pve'* ]]
    done
}

@test "ci-matrix: a source that is no version is refused" {
    for source in latest main '' '-v0.45' $'v0.45\nbuild=true' 'v0.45;id'; do
        decide "$(answer debian-13-pve)" "$source"
        echo "$source: $output $stderr"
        [ "$status" -eq 2 ]
        [ -z "$output" ]
        [[ $stderr == *'not a version tag'* ]]
    done
}

@test "ci-matrix: an answer that is an error, empty or no JSON is refused" {
    for input in '' '{' '{"status":"error","error":"x","exit_code":3}' '{"status":"success","images":[]}' '[]'; do
        decide "$input" v0.45
        echo "$input: $output $stderr"
        [ "$status" -eq 2 ]
        [ -z "$output" ]
        [[ $stderr == *'check --json'* ]]
    done
}
