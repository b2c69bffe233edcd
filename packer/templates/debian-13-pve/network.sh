# shellcheck shell=bash
# The network of a machine made from this image: cloud-init writes interfaces.d/50-cloud-init, ifupdown2 reads it, and
# image-network.sh, in the image, adds what neither does: the seed's name servers, and an address for the machine's name.
# Read with `.`, after guest.sh.

NETWORK_FILES=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

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
    install_image_network
}

install_image_network() {
    local root=$IMAGE_ROOT etc=$IMAGE_ROOT/etc hosts=$IMAGE_ROOT/etc/cloud/templates/hosts.debian.tmpl
    install -D -m 755 "$NETWORK_FILES/image-network.sh" "$root/usr/local/sbin/image-network"
    mkdir -p "$etc/systemd/system/multi-user.target.wants" "$etc/dhcp/dhclient-enter-hooks.d"
    install -m 644 "$NETWORK_FILES/image-network.service" "$etc/systemd/system/"
    ln -sfn ../image-network.service "$etc/systemd/system/multi-user.target.wants/image-network.service"
    # dhclient reads it with `.`: a lease must not replace the name servers that the seed asked for.
    cat >"$etc/dhcp/dhclient-enter-hooks.d/image-network" <<'EOF'
if grep -qsE '^[[:space:]]*dns-nameservers' /etc/network/interfaces.d/50-cloud-init; then
    make_resolv_conf() { :; }
fi
EOF
    # With `manage_etc_hosts: true`, as Proxmox VE's own seeds and Debian's cloud image say it, cloud-init writes
    # /etc/hosts from this at each boot. A name that stands for 127.0.1.1 keeps pve-cluster from starting.
    if [ -f "$hosts" ]; then
        sed -i -E 's/^127\.0\.1\.1[[:space:]]+(.*)$/# this machine: \1/' "$hosts"
    fi
}

# What the packages left for the next boot names the build's card; netplan's defaults would ask for addresses beside
# ifupdown2.
finish_network() {
    local etc=$IMAGE_ROOT/etc
    rm -f "$etc/network/interfaces.new" "$etc"/netplan/*.yaml
    if [ -z "$IMAGE_ROOT" ]; then
        systemctl disable systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service \
            systemd-resolved.service || true
    fi
    # Proxmox VE edits it, and dhclient and image-network write it: a file, not a link to what systemd-resolved writes.
    rm -f "$etc/resolv.conf"
    : >"$etc/resolv.conf"
    if [ "$(head -n 1 "$etc/network/interfaces")" != "source /etc/network/interfaces.d/*" ]; then
        echo "the first line of /etc/network/interfaces is not the one that sources interfaces.d:" >&2
        cat "$etc/network/interfaces" >&2
        return 1
    fi
}
