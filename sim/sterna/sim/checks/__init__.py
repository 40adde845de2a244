"""Checks of single modules: each drives a module with random data and stalls and holds it against its reference.

A check takes what runs its benches, so that the tests run it on the module itself, in Amaranth's simulator, and the
search for mutants on a compiled module that may be wrong in one place.
"""
