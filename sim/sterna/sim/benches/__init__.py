"""cocotb benches, run by :func:`sterna.sim.bench.run_bench`; none is named ``test_*``, so pytest leaves them alone."""
