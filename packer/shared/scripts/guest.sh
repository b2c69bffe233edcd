# shellcheck shell=bash
# Functions that the scripts in the guest share. Read with `.`; runs nothing by itself.
#
# IMAGE_ROOT is empty in a guest. Tests set it, to let file work happen in a folder of theirs.

IMAGE_ROOT=${IMAGE_ROOT-}
IMAGE_BUILD=$IMAGE_ROOT/var/tmp/image-build
BLACKLIST=$IMAGE_ROOT/etc/modprobe.d/image-blacklist.conf

# apt without questions. The lock timeout covers a timer of the base image that woke up just now.
apt_get() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -y -q \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# The files that say where packages come from.
apt_source_files() {
    find "$IMAGE_ROOT"/etc/apt/sources.list "$IMAGE_ROOT"/etc/apt/sources.list.d \
        "$IMAGE_ROOT"/etc/apt/mirrors -type f 2>/dev/null || true
}

# use_mirrors DEBIAN SECURITY: lets this build read packages from mirrors; an empty one changes
# nothing. The sources as they were are kept for restore_sources: an image must not point at the
# mirror that happened to be near its build host.
use_mirrors() {
    local debian=${1%/} security=${2%/} file
    [ -n "$debian$security" ] || return 0
    tar -C "$IMAGE_ROOT/etc" -cf "$IMAGE_BUILD/apt-sources.tar" apt
    while IFS= read -r file; do
        if [ -n "$security" ]; then
            sed -i -E "s#https?://(deb\.debian\.org|security\.debian\.org)/debian-security/?#$security/#" "$file"
        fi
        if [ -n "$debian" ]; then
            sed -i -E "s#https?://deb\.debian\.org/debian(/|[[:space:]]|\$)#$debian\1#" "$file"
        fi
    done < <(apt_source_files)
}

# Undoes use_mirrors. A file that was added since, as Proxmox's source is, stays. apt's lists bear the name of the
# server that they came from: those of a mirror would be of no use to anybody.
restore_sources() {
    [ -f "$IMAGE_BUILD/apt-sources.tar" ] || return 0
    tar -C "$IMAGE_ROOT/etc" -xf "$IMAGE_BUILD/apt-sources.tar" apt
    rm -rf "$IMAGE_ROOT"/var/lib/apt/lists/*
}

# Modules for devices that no virtual machine of ours has; loading them costs boot time and warnings.
blacklist_modules() {
    local module
    mkdir -p "$IMAGE_ROOT/etc/modprobe.d"
    for module in cfg80211 floppy joydev psmouse pcspkr; do
        echo "blacklist $module"
    done >"$BLACKLIST"
}

# An upgrade of grub-pc in a virtual machine asks where to install, and with nobody there it fails; it fails as well where
# one of the disks that are named here is not there. So the build names the disk that it sees, and cloud-init names the
# one of the machine to come: sda on virtio-scsi, vda on virtio.
preset_grub() {
    local disk disks=()
    for disk in /dev/vda /dev/sda; do
        [ ! -b "$disk" ] || disks+=("$disk")
    done
    [ "${#disks[@]}" -gt 0 ] || disks=(/dev/vda /dev/sda)
    disk=$(printf ', %s' "${disks[@]}")
    debconf-set-selections <<EOF
grub-pc grub-pc/install_devices multiselect ${disk#, }
grub-pc grub-pc/install_devices_empty boolean false
EOF
    mkdir -p "$IMAGE_ROOT/etc/cloud/cloud.cfg.d"
    printf 'grub_dpkg:\n  enabled: true\n' >"$IMAGE_ROOT/etc/cloud/cloud.cfg.d/90-image-grub.cfg"
}

# Kernel packages that hold files of a kernel in /boot, oldest first.
installed_kernels() {
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'linux-image-[0-9]*' 2>/dev/null |
        awk '$1 == "ii" { print $2 }' | sort -V
}

# The initramfs has a copy of the blacklist. A kernel that came with the upgrade has it already; making one takes
# minutes without KVM, so only the kernel that stays gets one, and only if its own is older.
refresh_initramfs() {
    local kernel
    kernel=$(installed_kernels | tail -n 1)
    kernel=${kernel#linux-image-}
    [ -n "$kernel" ] || return 0
    if [ ! "/boot/initrd.img-$kernel" -nt "$BLACKLIST" ]; then
        update-initramfs -u -k "$kernel"
    fi
}

# Purging the kernel that is running asks a question whose default answer stops the removal.
purge_kernels() {
    [ $# -gt 0 ] || return 0
    echo "linux-base linux-base/removing-running-kernel boolean false" | debconf-set-selections
    apt_get purge "$@"
}

# After the upgrade the base image's own kernel is only ballast beside its successor.
remove_older_kernels() {
    local kernels=()
    mapfile -t kernels < <(installed_kernels)
    [ "${#kernels[@]}" -gt 1 ] || return 0
    purge_kernels "${kernels[@]:0:${#kernels[@]}-1}"
}

remove_unused_packages() {
    apt_get autoremove --purge
}

# What one machine must not share with the next, and what the build left behind.
forget_this_machine() {
    local root=$IMAGE_ROOT

    # An empty machine-id is written anew at the next boot; one that is missing would be taken for
    # the first boot of a system without /etc.
    : >"$root/etc/machine-id"
    rm -f "$root/var/lib/dbus/machine-id"
    [ -d "$root/var/lib/dbus" ] && ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
    rm -f "$root"/etc/ssh/ssh_host_*
    rm -f "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret
    # Identities that packages made when they were installed. image-first-boot.sh gives each machine its own.
    rm -f "$root"/etc/ssl/private/ssl-cert-snakeoil.key "$root"/etc/ssl/certs/ssl-cert-snakeoil.pem
    rm -f "$root"/etc/hostid "$root"/etc/nvme/hostnqn "$root"/etc/nvme/hostid "$root"/etc/corosync/authkey
    # Two machines with one initiator name would share each other's iSCSI sessions.
    if [ -e "$root/etc/iscsi/initiatorname.iscsi" ]; then
        echo "GenerateName=yes" >"$root/etc/iscsi/initiatorname.iscsi"
    fi
    forget_name
    echo localhost >"$root/etc/hostname"

    # The build's network, bound to its network card's address.
    rm -f "$root"/etc/netplan/50-cloud-init.yaml "$root"/etc/network/interfaces.d/50-cloud-init*
    rm -f "$root"/etc/systemd/network/*cloud-init*
    rm -f "$root"/etc/udev/rules.d/70-persistent-net.rules
    rm -rf "$root"/var/lib/dhcp/* "$root"/var/lib/systemd/timesync/clock

    rm -rf "$root"/root/.ssh "$root"/root/.bash_history "$root"/root/.cache "$root"/root/.lesshst
}

# The name that the build's machine had, in the files of packages that copy it when they are configured.
forget_name() {
    local root=$IMAGE_ROOT name
    name=$(build_name)
    [ ! -e "$root/etc/mailname" ] || echo localhost >"$root/etc/mailname"
    if [ -f "$root/etc/postfix/main.cf" ]; then
        # Without the first, postfix takes the name of the machine that it runs on.
        # shellcheck disable=SC2016 # postfix fills it in
        sed -i -e '/^myhostname[[:space:]]*=/d' -e 's/^mydestination[[:space:]]*=.*/mydestination = $myhostname, localhost/' \
            "$root/etc/postfix/main.cf"
    fi
    [ -z "$name" ] || [ ! -f "$root/etc/hosts" ] || sed -i -E "/[[:space:]]${name//./\\.}([.[:space:]]|\$)/d" "$root/etc/hosts"
}

# What the machine that builds is called; nothing where it has no name of its own.
build_name() {
    local name
    name=$(cat "$IMAGE_ROOT/etc/hostname" 2>/dev/null) || return 0
    name=${name%%.*}
    [ "$name" = localhost ] || printf '%s\n' "$name"
}

# refuse_leftovers NAME: fails if a file below /etc holds a private key, or the name that the build's machine had.
refuse_leftovers() {
    local etc=$IMAGE_ROOT/etc found
    found=$(grep -rlE -e '-----BEGIN [A-Z ]*PRIVATE KEY-----' -- "$etc" || true)
    [ -z "$1" ] || found+=${found:+$'\n'}$(grep -rIlE --exclude=homestak-image -e "(^|[^[:alnum:]-])${1//./\\.}(\$|[^[:alnum:]-])" -- "$etc" || true)
    [ -n "${found//[[:space:]]/}" ] || return 0
    echo "these files would be the same on every machine made from the image, with a key or the name $1 of the build:" >&2
    echo "$found" >&2
    return 1
}

# What a machine does once, before anything could use the identities that it lacks.
install_first_boot() {
    local root=$IMAGE_ROOT
    install -D -m 755 "$IMAGE_BUILD/image-first-boot.sh" "$root/usr/local/sbin/image-first-boot"
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/var/lib/image-first-boot"
    install -m 644 "$IMAGE_BUILD/image-first-boot.service" "$root/etc/systemd/system/"
    ln -sfn ../image-first-boot.service "$root/etc/systemd/system/multi-user.target.wants/image-first-boot.service"
    : >"$root/var/lib/image-first-boot/wanted"
}

# What the image is, in lines that build.sh wrote: for `cat`, and shown at each login.
write_identity() {
    local root=$IMAGE_ROOT
    [ -s "$IMAGE_BUILD/homestak-image" ] || return 0
    install -m 644 "$IMAGE_BUILD/homestak-image" "$root/etc/homestak-image"
    mkdir -p "$root/etc/update-motd.d"
    printf '#!/bin/sh\ncat /etc/homestak-image\n' >"$root/etc/update-motd.d/20-homestak-image"
    chmod 755 "$root/etc/update-motd.d/20-homestak-image"
}

# make_an_image: all that turns the machine that was built into an image: whoever boots it gets a machine of their own.
# Always last.
make_an_image() {
    local name
    name=$(build_name)
    restore_sources
    preset_grub
    remove_apt_cache
    forget_cloud_init
    forget_this_machine
    install_first_boot
    write_identity
    refuse_leftovers "$name"
    remove_logs
    remove_build_files
}

forget_cloud_init() {
    [ -n "$IMAGE_ROOT" ] || cloud-init clean --logs --seed
    rm -rf "$IMAGE_ROOT"/var/lib/cloud/* "$IMAGE_ROOT"/var/log/cloud-init*.log
}

# The lists stay: who installs something before the first `apt update` would find nothing. Descriptions in other words
# are of no use to a machine.
remove_apt_cache() {
    [ -n "$IMAGE_ROOT" ] || apt-get clean
    rm -rf "$IMAGE_ROOT"/var/lib/apt/lists/*_i18n_Translation-* "$IMAGE_ROOT"/var/lib/apt/lists/partial/* \
        "$IMAGE_ROOT"/var/cache/apt/*.bin "$IMAGE_ROOT"/var/cache/apt/archives/*.deb
}

# Logs of the build say nothing about the machines to come. Files stay, with their owners and modes.
remove_logs() {
    local root=$IMAGE_ROOT
    rm -rf "$root"/var/log/journal/*
    find "$root/var/log" -type f \( -name '*.gz' -o -name '*.[0-9]' -o -name '*.old' \) -delete
    find "$root/var/log" -type f -exec truncate -s 0 {} +
}

# Always last: it removes these very scripts, and trims the space of all that is gone.
remove_build_files() {
    local root=$IMAGE_ROOT
    find "$root/tmp" -mindepth 1 -maxdepth 1 ! -name 'script_*' ! -name 'systemd-private-*' \
        -exec rm -rf {} +
    find "$root/var/tmp" -mindepth 1 -maxdepth 1 ! -name 'systemd-private-*' -exec rm -rf {} +
    [ -z "$root" ] || return 0
    sync
    fstrim -av || echo "trimming is not possible here; the image gets larger than it needs to be"
    sync
}
