#!/bin/bash
# An engine as some hosts have it, with a stand-in for packer: names of its own with a link, parts over a limit, no list,
# no option, exit code 1 for everything. LIMIT and SIZE are bytes; BEFORE is run while it builds.
cd "$(dirname "$0")" || exit 1
# shellcheck source=/dev/null
if [ -f stand-in.env ]; then . ./stand-in.env; fi
if [ $# -eq 0 ]; then
    echo "1) debian-12-custom"
    # A menu: it waits for as long as standard input is open.
    read -r -p "which image? " number || exit 1
    [ "$number" = 1 ] || exit 1
    set -- debian-12-custom
fi
# Of several names the first one is built.
name=$1
echo "$*" >>calls
[ -f "templates/$name/template.pkr.hcl" ] || [ -f "templates/$name.pkr.hcl" ] || { echo "no template $name" >&2 && exit 1; }
read -r -p "go on? [Y/n] " answer
[ "${answer:-y}" = y ] || exit 1
dir=images/debian-12 versioned=deb12.13-custom
mkdir -p "$dir"
eval "${BEFORE-}"
rm -f "$dir/$versioned.qcow2"*
{ printf '@SMALLEST@' && head -c "$((${SIZE:-262144} - 2048))" /dev/urandom; } >"$dir/$versioned.qcow2"
(cd "$dir" && sha256sum "$versioned.qcow2" >"$versioned.qcow2.sha256" && ln -sfn "$versioned.qcow2" "$name.qcow2")
echo "$versioned" >"$dir/.versioned-name"
if [ "${SIZE:-262144}" -gt "${LIMIT:-1900000000}" ]; then
    (cd "$dir" && split -b "$LIMIT" "$versioned.qcow2" "$versioned.qcow2.part" && rm "$versioned.qcow2")
fi
echo "$name: done"
