"""Drains lanes as the worker does, each in a thread, until nothing waits; says on standard error how long it took.

python -m bench.drainer crm archive       with LEADWIRE_CONFIG set
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace

from app.destinations.dynamics import Dynamics
from app.log import configure_logging
from app.wiring import Wiring
from app.worker import TURN

WINDOW_PASSES = 1000  # times faster: the service's 6000 requests in 5 minutes are no speed of ours


def drain(lane):
    """Step until nothing waits."""
    while lane.step() is not None:
        pass
    lane.destination.close()


def lane_of(wiring, name):
    """Make a lane as the worker does; for Dynamics with a clock by which the service's window passes at once."""
    lane = wiring.lane(name, worker="bench")
    if lane.type != "dynamics":
        return lane
    made = lane.destination
    fast = Dynamics(name, made._settings, made._tools, clock=lambda: time.monotonic() * WINDOW_PASSES)  # noqa: SLF001
    return replace(lane, destination=fast)


def main(names):
    """Drain these."""
    configure_logging()
    sys.setswitchinterval(TURN)
    wiring = Wiring.from_file()
    lanes = [lane_of(wiring, name) for name in names]
    wiring.outbox(worker="bench").start(now=0)
    threads = [threading.Thread(target=drain, args=(lane,)) for lane in lanes]
    begun, used = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - used}
    print(json.dumps(took), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
