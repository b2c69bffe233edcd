#!/usr/bin/env bash
# The two lines that a release's checklist names. A repository with a scripts/release.sh of its own keeps that, and gives
# these two to `cargo xtask packer`: docs/adopt.md shows how.
#
#   scripts/release.sh packer --check [OPTION…]                whether the images need a rebuild
#   scripts/release.sh packer --copy --source TAG [OPTION…]    make `latest` the images of release TAG
set -euo pipefail

case "${1-} ${2-}" in
    "packer --check") verb=(check) ;;
    "packer --copy") verb=(publish --copy) ;;
    "-h " | "--help " | "packer --help" | "packer -h") sed -n '/^#   /s/^#   //p' "$0" && exit 0 ;;
    *)
        sed -n '/^#   /s/^#   /usage: /p' "$0" >&2
        exit 2
        ;;
esac
manifest=$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml
exec cargo run --manifest-path "$manifest" --package xtask -- packer "${verb[@]}" "${@:3}"
