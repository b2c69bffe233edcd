# The steps that make every image, in their order. build.sh puts this file beside a template. What an image has of its
# own are the files in its folder: install-*.sh, if there are any, and cleanup.sh.

build {
  sources = ["source.qemu.debian"]

  provisioner "shell" {
    script = "${path.root}/../../shared/scripts/wait-for-boot.sh"
  }

  provisioner "file" {
    source      = "${path.root}/../../shared/scripts/"
    destination = "/var/tmp/image-build"
  }

  provisioner "file" {
    source      = "${path.root}/"
    destination = "/var/tmp/image-build/template"
  }

  provisioner "file" {
    source      = var.identity_file
    destination = "/var/tmp/image-build/homestak-image"
  }

  provisioner "shell" {
    environment_vars = [
      "DEBIAN_MIRROR=${var.debian_mirror}",
      "DEBIAN_SECURITY_MIRROR=${var.debian_security_mirror}",
    ]
    scripts = [
      "${path.root}/../../shared/scripts/update.sh",
      "${path.root}/../../shared/scripts/install.sh",
      "${path.root}/../../shared/scripts/record-versions.sh",
      "${path.root}/../../shared/scripts/record-packages.sh",
      "${path.root}/../../shared/scripts/record-details.sh",
      "${path.root}/../../shared/scripts/record-files.sh",
    ]
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/image-build/image-version.txt"
    destination = var.version_file
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/image-build/packages.tsv"
    destination = var.packages_file
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/image-build/details.tsv"
    destination = var.details_file
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/image-build/files.tsv"
    destination = var.files_file
  }

  # Nothing may run in the guest after this: it removes the key that packer logs in with.
  provisioner "shell" {
    script = "${path.root}/cleanup.sh"
  }
}
