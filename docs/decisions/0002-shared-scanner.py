"""Cycles of feeders that scan their own masks against one scanner with a queue per feeder (decision 0002).

Run: python docs/decisions/0002-shared-scanner.py
Both meet at the end of each output. Independent: a chunk costs max(1, issued). Shared: one chunk a cycle goes to all
feeders once each has room; empty chunks are dropped unless they end the output. Prints ideal cycles / cycles.
"""

from collections import deque

import numpy as np

OUTPUTS = 300
CHUNK = 8
SHAPES = {
    "dense K=64": (4, 2),
    "dense K=256": (4, 8),
    "conv 3x3x16": (4, 6),
    "conv 3x3x64": (4, 18),
    "conv 3x3x64, simd 8": (8, 9),
}


def independent(issued: np.ndarray) -> int:
    return int(np.maximum(issued, 1).sum(axis=2).max(axis=1).sum())


def shared(issued: np.ndarray, room: int) -> int:
    outputs, feeders, chunks = issued.shape
    pending = deque((o, k) for o in range(outputs) for k in range(chunks))
    queues: list[deque[list[int]]] = [deque() for _ in range(feeders)]
    cycles = output = 0
    while output < outputs:
        if pending and all(len(queue) < room for queue in queues):
            o, k = pending.popleft()
            for f, queue in enumerate(queues):
                if issued[o, f, k] or k == chunks - 1:
                    queue.append([o, int(issued[o, f, k]), int(k == chunks - 1)])
        cycles += 1
        complete = 0
        for queue in queues:
            if queue and queue[0][0] == output:
                queue[0][1] = max(0, queue[0][1] - 1)
                if queue[0][1] == 0 and not queue[0][2]:
                    queue.popleft()
                elif queue[0][1] == 0:
                    complete += 1
        if complete == feeders:
            output += 1
            for queue in queues:
                queue.popleft()
    return cycles


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    print(f"{'window, feeders':22} density  independent  room 2  room 3  room 4")
    for name, (feeders, chunks) in SHAPES.items():
        for density in (1, 0.5, 0.25, 0.125):
            issued = rng.binomial(CHUNK, density, (OUTPUTS, feeders, chunks))
            ideal = issued.sum() / feeders
            row = [ideal / independent(issued), *(ideal / shared(issued, room) for room in (2, 3, 4))]
            print(f"{name:22} {density:7}  {row[0]:11.2f}  " + "  ".join(f"{value:6.2f}" for value in row[1:]))
