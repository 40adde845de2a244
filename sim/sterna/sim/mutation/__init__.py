"""Mutants: small modules, each wrong in one place that yosys chooses, and the checks that have to notice.

component ── mutants.py ──▶ one Verilog text with all mutants ── model.py ──▶ compiled once, a number chooses the mutant
                                                                  search.py ──▶ which mutants the checks let live
"""
