#!/bin/bash
# Proxmox VE works on the machine that was started: its services run, its API answers, and the certificate is this machine's.
set -euo pipefail

for unit in pve-cluster pvedaemon pveproxy; do
    [ "$(systemctl is-active "$unit.service")" = active ] || { systemctl status --no-pager "$unit.service" && exit 1; }
done
pveversion
pvesh get /version --output-format json

# Until pveproxy listens may take a moment.
for _ in {1..30}; do
    certificate=$(timeout 20 openssl s_client -connect "$ADDRESS:8006" </dev/null 2>/dev/null) && break
    sleep 2
done
openssl x509 -noout -subject -startdate <<<"$certificate"
openssl x509 -noout -subject <<<"$certificate" | grep -q "$HOST" || { echo "the certificate is not for $HOST" && exit 1; }
if [ "$STAGE" = first ]; then
    # Proxmox dates it from the moment that it makes it; the build was before this boot.
    made=$(date -d "$(openssl x509 -noout -startdate <<<"$certificate" | cut -d = -f 2)" +%s)
    booted=$(($(date +%s) - $(cut -d . -f 1 /proc/uptime)))
    # A day's tolerance is for a clock that was set during the boot; a certificate of the build is caught by its name.
    [ "$made" -ge $((booted - 86400)) ] || { echo "the certificate is older than this boot" && exit 1; }
fi
curl -fsSk -o /dev/null --retry 5 --retry-connrefused "https://$ADDRESS:8006/"
