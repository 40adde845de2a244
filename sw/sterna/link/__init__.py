"""Byte streams to devices, and a device in this process that speaks the whole protocol."""
