"""Simulation: Amaranth → Verilog → Verilator, cached; the Verilated device; agents and runner for cocotb benches.

component ── verilog.py ──▶ Verilog ── verilate.py ──▶ executable ── device.py ──▶ Transport for the driver
                                              └──────── bench.py ──▶ cocotb module with streams.py's agents
board ── its build, netlist.py, routed.py, cells ──▶ Verilog ── verilate.py ──▶ executable ── pins.py ──▶ Transport
"""
