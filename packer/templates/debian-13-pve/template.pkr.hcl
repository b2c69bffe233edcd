# Proxmox VE 9 on Debian 13 (trixie), its packages installed and nothing configured.

variable "base_image_url" {
  type        = string
  default     = "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2"
  description = "Debian's generic cloud image that this image starts from."
}

variable "base_image_checksum" {
  type        = string
  default     = "file:https://cloud.debian.org/images/cloud/trixie/latest/SHA512SUMS"
  description = "Its digest, as sha512:<hex>, sha256:<hex>, or file:<URL of a SHA512SUMS>."
}

variable "disk_size" {
  type        = string
  default     = "10G"
  description = "Size of the image's disk. A virtual machine made from it needs at least this much."
}

variable "memory" {
  type        = number
  default     = 4096
  description = "Memory during the build, in MiB."
}

variable "pve_repository_url" {
  type        = string
  default     = "http://download.proxmox.com/debian/pve"
  description = "Proxmox VE's package repository. It stays in the image."
}

variable "pve_keyring_url" {
  type        = string
  default     = "https://enterprise.proxmox.com/debian/proxmox-archive-keyring-trixie.gpg"
  description = "The keyring that the repository is signed with."
}

variable "pve_keyring_sha256" {
  type        = string
  default     = "136673be77aba35dcce385b28737689ad64fd785a797e57897589aed08db6e45"
  description = "The keyring's digest, from Proxmox's installation guide."
}

build {
  sources = ["source.qemu.debian"]

  provisioner "shell" {
    script = "${path.root}/../../shared/scripts/wait-for-boot.sh"
  }

  provisioner "file" {
    source      = "${path.root}/../../shared/scripts/"
    destination = "/var/tmp/image-build"
  }

  provisioner "shell" {
    environment_vars = [
      "DEBIAN_MIRROR=${var.debian_mirror}",
      "DEBIAN_SECURITY_MIRROR=${var.debian_security_mirror}",
    ]
    script = "${path.root}/../../shared/scripts/update.sh"
  }

  provisioner "shell" {
    environment_vars = [
      "PVE_REPOSITORY_URL=${var.pve_repository_url}",
      "PVE_KEYRING_URL=${var.pve_keyring_url}",
      "PVE_KEYRING_SHA256=${var.pve_keyring_sha256}",
    ]
    script = "${path.root}/install-pve.sh"
  }

  provisioner "shell" {
    script = "${path.root}/../../shared/scripts/record-versions.sh"
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/image-build/image-version.txt"
    destination = var.version_file
  }

  # Nothing may run in the guest after this: it removes the key that packer logs in with.
  provisioner "shell" {
    script = "${path.root}/cleanup.sh"
  }
}
