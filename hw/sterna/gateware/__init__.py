"""The accelerator's gateware, in Amaranth; ``sterna.accelerator`` puts it together."""
