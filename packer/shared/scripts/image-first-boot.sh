#!/bin/bash
# Makes the keys and identities anew that the image's build removed, each where its package is there. Runs once, as
# image-first-boot.service, before what uses them.
#
# IMAGE_ROOT is empty on a machine. Tests set it.
set -euo pipefail

root=${IMAGE_ROOT-}
wanted=$root/var/lib/image-first-boot/wanted
status=0

# is_installed COMMAND
is_installed() {
    command -v "$1" >/dev/null 2>&1
}

# A key pair of a self-signed certificate, which postfix and others use until somebody gives them a real one.
if is_installed make-ssl-cert && [ ! -s "$root/etc/ssl/private/ssl-cert-snakeoil.key" ]; then
    make-ssl-cert generate-default-snakeoil --force-overwrite || status=1
fi
# Whoever asks for a host id without this file gets one that is made of the address: 127.0.0.1 of each machine.
if is_installed zgenhostid && [ ! -e "$root/etc/hostid" ]; then
    zgenhostid || status=1
fi
if is_installed nvme && [ -d "$root/etc/nvme" ] && [ ! -s "$root/etc/nvme/hostnqn" ]; then
    # One id in two forms.
    uuid=$(cat /proc/sys/kernel/random/uuid)
    echo "nqn.2014-08.org.nvmexpress:uuid:$uuid" >"$root/etc/nvme/hostnqn"
    echo "$uuid" >"$root/etc/nvme/hostid"
fi
if [ "$(cat "$root/etc/iscsi/initiatorname.iscsi" 2>/dev/null)" = GenerateName=yes ] && is_installed iscsi-iname; then
    name=$(iscsi-iname -p iqn.1993-08.org.debian:01) &&
        (umask 077 && echo "InitiatorName=$name" >"$root/etc/iscsi/initiatorname.iscsi") || status=1
fi
[ "$status" -ne 0 ] || rm -f "$wanted"
exit "$status"
