# shellcheck shell=bash
# The network of a machine made from this image: cloud-init writes interfaces.d/50-cloud-init, ifupdown2 reads it.
# Read with `.`, after guest.sh.

# cloud-init writes for ifupdown only where /etc/network/interfaces exists. Proxmox VE's packages write a new one that is
# put in place at the next boot, with each card as `manual`; a `source` line that is first stays first, and what is first
# counts. `source-directory` is not understood by ifupdown2.
prepare_network() {
    local etc=$IMAGE_ROOT/etc
    mkdir -p "$etc/network/interfaces.d" "$etc/systemd/system/networking.service.d"
    cat >"$etc/network/interfaces" <<'EOF'
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback
EOF
    # Debian's unit does not wait for cloud-init, which writes before network-pre.target is reached.
    cat >"$etc/systemd/system/networking.service.d/after-cloud-init.conf" <<'EOF'
[Unit]
Wants=network-pre.target
After=network-pre.target
EOF
}

# What the packages left for the next boot names the build's card; netplan's defaults would ask for addresses beside
# ifupdown2.
finish_network() {
    local etc=$IMAGE_ROOT/etc
    rm -f "$etc/network/interfaces.new" "$etc"/netplan/*.yaml
    if [ -z "$IMAGE_ROOT" ]; then
        systemctl disable systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service || true
    fi
    if [ "$(head -n 1 "$etc/network/interfaces")" != "source /etc/network/interfaces.d/*" ]; then
        echo "the first line of /etc/network/interfaces is not the one that sources interfaces.d:" >&2
        cat "$etc/network/interfaces" >&2
        return 1
    fi
}
