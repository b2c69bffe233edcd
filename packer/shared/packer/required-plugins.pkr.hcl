# Packer 1.7 and later fetch the QEMU builder as a plugin. 1.6, as in Debian 12, has it built in and
# refuses this block, so build.sh adds this file by the version of packer it finds. One version, which the record names.

packer {
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "1.1.0"
    }
  }
}
