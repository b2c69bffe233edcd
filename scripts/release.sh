#!/usr/bin/env bash
# The front door that a release's checklist names; `cargo xtask packer` does the work.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/release.sh packer --check [OPTION…]
       scripts/release.sh packer --copy --source TAG [--execute] [OPTION…]

  --check   say for each image whether it needs a rebuild, as `cargo xtask packer check`
  --copy    make `latest` the images of release TAG, as `cargo xtask packer publish --copy`

OPTION is any option of that command. See `cargo xtask packer --help` for the rest of the phase.
USAGE
}

refuse() {
    echo "release.sh: $1" >&2
    usage >&2
    exit 2
}

[ $# -gt 0 ] || refuse "name what to release: packer"
case $1 in
    packer) shift ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) refuse "unknown: $1; the one thing to release here is packer" ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/lib/words.sh
. "$root/scripts/lib/words.sh"
verb=()
options=()
for argument in "$@"; do
    case $argument in
        --check) verb+=(check) ;;
        --copy) verb+=(publish --copy) ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) options+=("$argument") ;;
    esac
done
case ${verb[*]-} in
    check | "publish --copy") ;;
    "")
        for option in "${options[@]+"${options[@]}"}"; do
            case $option in
                -*) refuse "unknown option $option$(did_you_mean "$option" --check --copy)" ;;
                *) refuse "unknown: $option$(did_you_mean "--$option" --check --copy)" ;;
            esac
        done
        refuse "give one of --check and --copy"
        ;;
    *) refuse "give one of --check and --copy" ;;
esac

exec cargo run --manifest-path "$root/Cargo.toml" --package xtask -- packer "${verb[@]}" "${options[@]+"${options[@]}"}"
