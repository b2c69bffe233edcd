# shellcheck shell=bash
# Proxmox VE's package repository and the keyring that it is signed with. Its address is plain http, so nothing from
# there may be believed without the signature.

: "${PVE_REPOSITORY_URL:=http://download.proxmox.com/debian/pve}"
: "${PVE_KEYRING_URL:=https://enterprise.proxmox.com/debian/proxmox-archive-keyring-trixie.gpg}"
# From Proxmox's installation guide.
: "${PVE_KEYRING_SHA256:=136673be77aba35dcce385b28737689ad64fd785a797e57897589aed08db6e45}"
# shellcheck disable=SC2034 # for whoever reads this
PVE_SUITE=trixie PVE_COMPONENT=pve-no-subscription
