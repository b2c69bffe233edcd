#!/bin/sh
# The engine of the walk's build host. An image ends with the digest of its inputs, so that whoever has its bytes knows what it
# was built from; it is built anew when they changed. With RECORDS set to nothing there is no build record, as of older engines.
set -eu
cd "$(dirname "$0")"
forced=
if [ "$1" = --force ]; then
    forced=1
    shift
fi
name=$1
image=images/$name/$name.qcow2
files=$(find "templates/$name" shared -type f | LC_ALL=C sort)
ids=$(echo "$files" | git hash-object --no-filters --stdin-paths)
key=$(echo "$ids" | sha256sum | cut -c 1-64)
if [ -z "$forced" ] && [ "$(tail -c 64 "$image" 2>/dev/null)" = "$key" ]; then
    echo "$name: unchanged"
    exit 0
fi
mkdir -p "images/$name"
rm -f "images/$name"/*
qemu-img create -q -f qcow2 "$image" 64M
{ head -c 16384 /dev/urandom && printf %s "$key"; } >>"$image"
(cd "images/$name" && sha256sum "$name.qcow2" >"$name.qcow2.sha256")
if [ -n "${RECORDS-yes}" ]; then
    listed=
    # shellcheck disable=SC2086 # one argument each
    set -- $ids
    for file in $files; do
        mode=100644
        if [ -x "$file" ]; then mode=100755; fi
        listed="$listed${listed:+, }{\"path\": \"$file\", \"mode\": \"$mode\", \"id\": \"$1\"}"
        shift
    done
    commit=$(git rev-parse --verify --quiet HEAD || :)
    from=null
    if [ -n "$commit" ]; then from="{\"commit\": \"$commit\", \"dirty\": false}"; fi
    cat >"images/$name/$name.build.json" <<RECORD
{
  "sha256": "$(cut -c 1-64 "$image.sha256")",
  "built_from": $from,
  "inputs": { "files": [$listed], "base_image": null, "settings": {} },
  "built_at": "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
}
RECORD
fi
echo "$name: built"
