#!/bin/bash
# Makes a small bootable Debian image from packages alone, to stand in for Debian's generic cloud image where only a
# package mirror can be reached. As root; needs no loop device.
#
# usage: make-base-image.sh SUITE FILE.qcow2     (SUITE: bookworm or trixie)
set -euo pipefail

SUITE=$1 RESULT=$2
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
SECURITY_MIRROR=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
DISK_MIB=3072
# In sectors, as on Debian's own: room for the loader of a BIOS, the system partition of UEFI, and behind them the root file
# system, which grows.
BIOS_START=2048 BIOS_SECTORS=6144
ESP_START=8192 ESP_SECTORS=253952
ROOT_START=262144

WORK=$(mktemp -d)
trap 'rm -rf --one-file-system -- "$WORK"' EXIT
ROOT=$WORK/root
DISK=$WORK/disk.raw
UUID=$(</proc/sys/kernel/random/uuid)

# A third of the other kernel: unpacking the next one is most of what a guest without KVM does. Debian 12's has no driver for a
# CD of q35.
kernel=linux-image-cloud-amd64
[ "$SUITE" != bookworm ] || kernel=linux-image-amd64
packages=(systemd-sysv dbus udev kmod init "$kernel" initramfs-tools grub-pc openssh-server cloud-init
    grub-efi-amd64-bin cloud-guest-utils netplan.io systemd-resolved systemd-timesyncd iproute2 sudo ca-certificates e2fsprogs zstd)
# cloud-init of Debian 12 looks for it, and a minimal installation leaves it out.
[ "$SUITE" != bookworm ] || packages+=(python3-netifaces)

mmdebstrap --mode=root --variant=minbase --include="$(IFS=, && echo "${packages[*]}")" \
    --aptopt='Acquire::Retries "3"' "$SUITE" "$ROOT" "deb $MIRROR $SUITE main"
# The updates are left for whoever builds on this image, as with Debian's own once it has aged.
cat >"$ROOT/etc/apt/sources.list" <<EOF
deb $MIRROR $SUITE main
deb $MIRROR $SUITE-updates main
deb $SECURITY_MIRROR $SUITE-security main
EOF

# Gathering the modules for every machine there is, and compressing them well, takes the guest minutes without KVM.
# The drive of the seed's CD must be there before cloud-init looks for it, as with Debian's own image, which has all modules.
printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod virtio_net ext4 ahci ata_piix sr_mod isofs >>"$ROOT/etc/initramfs-tools/modules"
printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\n' >"$ROOT/etc/initramfs-tools/conf.d/quick"

cat >"$ROOT/etc/fstab" <<EOF
UUID=$UUID / ext4 defaults,discard,errors=remount-ro 0 1
EOF
cat >"$ROOT/etc/default/grub" <<'EOF'
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --speed=115200"
EOF
cat >"$ROOT/etc/cloud/cloud.cfg.d/90-datasource.cfg" <<'EOF'
datasource_list: [NoCloud, None]
# As Debian's own image says it.
manage_etc_hosts: true
EOF
echo localhost >"$ROOT/etc/hostname"
: >"$ROOT/etc/machine-id"
rm -f "$ROOT"/etc/ssh/ssh_host_* "$ROOT"/etc/resolv.conf
ln -s ../run/systemd/resolve/stub-resolv.conf "$ROOT/etc/resolv.conf"
rm -rf "$ROOT"/var/lib/apt/lists/* "$ROOT"/var/cache/apt/*.bin

# A first grub.cfg by hand: update-grub would look for the device below a root that is only a folder. The
# guest writes a real one with its first kernel.
mkdir -p "$ROOT/boot/grub"
cp -R "$ROOT/usr/lib/grub/i386-pc" "$ROOT/usr/lib/grub/x86_64-efi" "$ROOT/boot/grub/"
kernel=$(basename -- "$ROOT"/boot/vmlinuz-*)
cat >"$ROOT/boot/grub/grub.cfg" <<EOF
search --no-floppy --fs-uuid --set=root $UUID
linux /boot/$kernel root=UUID=$UUID ro console=tty0 console=ttyS0,115200
initrd /boot/initrd.img-${kernel#vmlinuz-}
boot
EOF
cat >"$ROOT/tmp/load.cfg" <<EOF
search.fs_uuid $UUID root
set prefix=(\$root)/boot/grub
EOF
modules=(part_gpt ext2 search search_fs_uuid normal configfile linux serial terminal)
chroot "$ROOT" grub-mkimage -O i386-pc -o /tmp/core.img -c /tmp/load.cfg -p /boot/grub biosdisk "${modules[@]}"
chroot "$ROOT" grub-mkimage -O x86_64-efi -o /tmp/bootx64.efi -c /tmp/load.cfg -p /boot/grub fat "${modules[@]}"
mv "$ROOT/tmp/core.img" "$ROOT/tmp/bootx64.efi" "$WORK/"
rm "$ROOT/tmp/load.cfg"

# UEFI starts this file of a disk that no variable names.
truncate -s $((ESP_SECTORS * 512)) "$WORK/esp"
mkfs.vfat -n EFI "$WORK/esp" >/dev/null
mmd -i "$WORK/esp" ::EFI ::EFI/BOOT
mcopy -i "$WORK/esp" "$WORK/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI

truncate -s "${DISK_MIB}M" "$DISK"
# The root file system is the first by number, and the last by place.
sfdisk -q --label gpt "$DISK" <<EOF
1: start=$ROOT_START, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
14: start=$BIOS_START, size=$BIOS_SECTORS, type=21686148-6449-6E6F-744E-656564454649
15: start=$ESP_START, size=$ESP_SECTORS, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
EOF
# The table has a copy at the disk's end.
mke2fs -q -t ext4 -U "$UUID" -d "$ROOT" -b 4096 -E "offset=$((ROOT_START * 512))" "$DISK" \
    "$(((DISK_MIB * 2048 - ROOT_START - 2048) / 8))"
dd if="$WORK/esp" of="$DISK" bs=1M seek=$((ESP_START / 2048)) conv=notrunc status=none

# little_endian NUMBER: as the eight bytes that a boot sector has for a sector's number.
little_endian() {
    local number=$1 i
    for ((i = 0; i < 8; i++)); do
        # shellcheck disable=SC2059 # octal, which printf understands everywhere
        printf "\\$(printf %03o $((number >> (8 * i) & 255)))"
    done
}
# The boot sector in front of the partition table says where the loader begins, the loader's first sector where it goes on.
dd if="$ROOT/usr/lib/grub/i386-pc/boot.img" of="$DISK" bs=440 count=1 conv=notrunc status=none
little_endian "$BIOS_START" | dd of="$DISK" bs=1 seek=$((0x5c)) conv=notrunc status=none
little_endian $((BIOS_START + 1)) | dd of="$WORK/core.img" bs=1 seek=$((0x1f4)) conv=notrunc status=none
dd if="$WORK/core.img" of="$DISK" bs=512 seek="$BIOS_START" conv=notrunc status=none

qemu-img convert -O qcow2 "$DISK" "$RESULT.new"
mv -f -- "$RESULT.new" "$RESULT"
