"""From a board's design to its bitstream: Amaranth → yosys → nextpnr → packer."""
