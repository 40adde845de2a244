"""What all tests share: bounded, reproducible property tests."""

from hypothesis import HealthCheck, settings

# No deadline: nothing here asserts on time. Derandomised: a failure is a failure on every machine.
settings.register_profile("sterna", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sterna")
