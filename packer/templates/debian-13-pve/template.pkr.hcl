# Proxmox VE 9 on Debian 13 (trixie), its packages installed and nothing configured.

variable "base_image_url" {
  type        = string
  default     = "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-generic-amd64.qcow2"
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
