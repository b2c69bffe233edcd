# Debian 12 (bookworm) with the guest agent, upgraded and cleaned: the image for ordinary virtual machines.

variable "base_image_url" {
  type        = string
  default     = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"
  description = "Debian's generic cloud image that this image starts from."
}

variable "base_image_checksum" {
  type        = string
  default     = "file:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
  description = "Its digest, as sha512:<hex>, sha256:<hex>, or file:<URL of a SHA512SUMS>."
}

variable "disk_size" {
  type        = string
  default     = "4G"
  description = "Size of the image's disk. A virtual machine made from it needs at least this much."
}

variable "memory" {
  type        = number
  default     = 2048
  description = "Memory during the build, in MiB."
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
