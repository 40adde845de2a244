"""Wires that synthesis leaves as they are."""

KEPT = {"keep": 1}
"""``attrs`` of a signal on a long path: what stands before and behind it is mapped to cells apart, so that it has the
levels of logic that the source shows. Carry chains, which take far longer by synthesis' reckoning, give all other logic
slack there, which it spends on sharing cells."""
