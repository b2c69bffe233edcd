# The virtual machine that every image is built in. build.sh puts this file beside a template, so that
# packer reads the two as one. What differs between images stands in their template.pkr.hcl.

variable "accelerator" {
  type        = string
  default     = "kvm"
  description = "QEMU's accelerator: kvm, or tcg where there is no KVM (about ten times slower)."
}

variable "cpu_model" {
  type        = string
  default     = "host"
  description = "QEMU's -cpu: host needs KVM, max suits TCG."
}

variable "cpus" {
  type        = number
  default     = 2
  description = "Virtual processors during the build."
}

variable "seed_directory" {
  type        = string
  default     = "."
  description = "Folder with the rendered user-data and meta-data for cloud-init."
}

variable "output_directory" {
  type        = string
  default     = "output"
  description = "Folder that packer creates for disk.qcow2."
}

variable "ssh_private_key_file" {
  type        = string
  default     = ""
  description = "The key whose public half stands in user-data."
}

variable "ssh_timeout" {
  type        = string
  default     = "10m"
  description = "How long the guest may take from power-on to the first login."
}

variable "serial_log" {
  type        = string
  default     = "/dev/null"
  description = "File that receives the guest's serial console."
}

variable "version_file" {
  type        = string
  default     = "image-version.txt"
  description = "File on this machine that receives the versions recorded in the guest."
}

variable "packages_file" {
  type        = string
  default     = "packages.tsv"
  description = "File on this machine that receives the list of packages made in the guest."
}

variable "details_file" {
  type        = string
  default     = "details.tsv"
  description = "File on this machine that receives the sizes of packages and folders in the guest, and the CVE ids of changelogs."
}

variable "files_file" {
  type        = string
  default     = "files.tsv"
  description = "File on this machine that receives the list of the guest's files."
}

variable "identity_file" {
  type        = string
  default     = "/dev/null"
  description = "File on this machine with the lines for /etc/homestak-image."
}

variable "debian_mirror" {
  type        = string
  default     = ""
  description = "Debian mirror used during the build only; empty: the base image's own sources."
}

variable "debian_security_mirror" {
  type        = string
  default     = ""
  description = "Mirror of debian-security used during the build only; empty: the base image's own sources."
}

source "qemu" "debian" {
  accelerator  = var.accelerator
  headless     = true
  cpus         = var.cpus
  memory       = var.memory
  machine_type = "pc"

  disk_image       = true
  iso_url          = var.base_image_url
  iso_checksum     = var.base_image_checksum
  format           = "qcow2"
  disk_size        = var.disk_size
  disk_interface   = "virtio"
  output_directory = var.output_directory
  vm_name          = "disk.qcow2"
  # A build that is lost with the machine is started again: no need to wait for the disk.
  disk_cache = "unsafe"
  # cleanup.sh trims the file systems, which makes room in the qcow2 itself.
  disk_discard       = "unmap"
  disk_detect_zeroes = "unmap"
  # build.sh compresses, so that an interrupted compression loses nothing.
  skip_compaction = true

  net_device = "virtio-net"
  cd_label   = "cidata"
  cd_files   = ["${var.seed_directory}/user-data", "${var.seed_directory}/meta-data"]
  qemuargs = [
    ["-cpu", "${var.cpu_model}"],
    ["-serial", "file:${var.serial_log}"],
  ]

  # Cloud images need no keystrokes to boot.
  boot_wait            = "1s"
  communicator         = "ssh"
  ssh_username         = "root"
  ssh_private_key_file = var.ssh_private_key_file
  ssh_timeout          = var.ssh_timeout
  # Under TCG a guest may answer and still be busy with its first boot.
  ssh_handshake_attempts = 100
  shutdown_command       = "shutdown -P now"
  shutdown_timeout       = "10m"
}
