"""What all tests share: one thread for torch, bounded, reproducible property tests, signals as terminals leave them."""

import os
import signal

# Before torch comes in: each of two workers with a thread for each core takes four times as long as with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

# No deadline: nothing here asserts on time. Derandomised: a failure is a failure on every machine.
settings.register_profile("sterna", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sterna")

# A program keeps ignoring what its parent ignores: ctrl-C under a job runner, a hang-up under nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
