"""Contracts: one definition of everything that software and gateware share. Imports neither torch nor amaranth."""
