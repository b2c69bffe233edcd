#!/bin/bash
# The machine's name stands for an address that others can reach: without it pve-cluster does not start.
set -euo pipefail

found=$(getent ahostsv4 "$HOST" | awk '{ print $1; exit }')
[ "$found" = "$ADDRESS" ] || { echo "$HOST stands for ${found:-nothing}, not for $ADDRESS:" && cat /etc/hosts && exit 1; }
[ "$(hostname)" = "$HOST" ]
