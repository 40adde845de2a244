"""The link half of the device: bytes from and to the host, frames of ``sterna.spec.frames`` between them."""
