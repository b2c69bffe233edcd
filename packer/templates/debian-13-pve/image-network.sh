#!/bin/bash
# At each boot, after the network: makes the machine's name stand for an address of its own in /etc/hosts, as pve-cluster
# wants it, and, once for each instance, writes the seed's name servers into /etc/resolv.conf, as ifupdown2 does not.
# What somebody wrote there since stays.
#
# IMAGE_ROOT is empty on a machine. Tests set it.
set -euo pipefail

root=${IMAGE_ROOT-}
hosts=$root/etc/hosts
mark='# written at boot'

# IPv4 first.
own_addresses() {
    ip -o addr show scope global | awk '$3 ~ /^inet/ { sub(/\/.*/, "", $4); print $3, $4 }' | sort -s -k 1,1 | cut -d ' ' -f 2
}

# lines_of NAME: the lines of /etc/hosts that give NAME an address, as `ADDRESS FULL-NAME`; `local` in front of a
# loopback address, `boot` of what this script wrote, `person` of any other.
lines_of() {
    awk -v name="$1" -v mark="$mark" '
        {
            sub(/^# this machine:/, "127.0.1.1")
            by = index($0, mark) ? "boot" : $1 ~ /^(127\.|::1$)/ ? "local" : "person"
            sub(/#.*/, "")
            for (i = 2; i <= NF; i++) if ($i == name) { print by, $1, $2; next }
        }' "$hosts"
}

name_in_hosts() {
    local name lines own full
    name=$(hostname)
    name=${name%%.*}
    [ "$name" != localhost ] || return 0
    touch "$hosts"
    lines=$(lines_of "$name")
    # Somebody's own line.
    ! grep -q '^person ' <<<"$lines" || return 0
    own=$(own_addresses)
    if [ -z "$own" ]; then
        echo "this machine has no address yet, so its name $name stands for none in /etc/hosts" >&2
        return 1
    fi
    full=$(awk '$1 != "boot" && $3 ~ /\./ { print $3; exit }' <<<"$lines")
    # A new file takes the old one's place at once. Of a loopback line with the name only the other names stay.
    {
        awk -v name="$name" -v full="$full" -v mark="$mark" '
            index($0, mark) { next }
            $1 ~ /^(127\.|::1$)/ {
                line = $1
                for (i = 2; i <= NF; i++) if ($i != name && $i != full) line = line " " $i
                if (line == $1) next
                if (NF > split(line, words, " ")) $0 = line
            }
            { print }' "$hosts"
        echo "$(head -n 1 <<<"$own") ${full:-$name.localdomain} $name $mark"
    } >"$hosts.new"
    chmod 644 "$hosts.new"
    mv "$hosts.new" "$hosts"
}

seed_resolv_conf() {
    local from=$root/etc/network/interfaces.d/50-cloud-init written=$root/var/lib/cloud/instance/image-network text
    if [ ! -f "$from" ] || [ ! -d "${written%/*}" ] || [ -e "$written" ]; then
        return 0
    fi
    text=$(awk '
        { sub(/#.*/, "") }
        $1 == "dns-nameservers" { for (i = 2; i <= NF; i++) if (!seen[$i]++) servers = servers "nameserver " $i "\n" }
        $1 == "dns-search" { for (i = 2; i <= NF; i++) if (!seen[" " $i]++) search = search " " $i }
        END { if (servers != "") printf "%s%s", (search == "" ? "" : "search" search "\n"), servers }' "$from")
    if [ -n "$text" ]; then
        # Not through a link to a file that somebody else writes.
        printf '%s\n' "$text" >"$root/etc/resolv.conf.new"
        chmod 644 "$root/etc/resolv.conf.new"
        mv "$root/etc/resolv.conf.new" "$root/etc/resolv.conf"
    fi
    : >"$written"
}

status=0
seed_resolv_conf || status=1
name_in_hosts || status=1
exit "$status"
