"""A case that fails in the way it is told to, for tests/test_failures.py."""

import os
import signal
import time

from multiscale.case import Case, Expect
from multiscale.types import MultiscaleError


class OneRankFails(Case):
    """One rank fails while the others wait for it."""

    name = "one_rank_fails"
    sizes = {"small": {"how": "not", "rank": 1}}
    expectations = (Expect("answer", 42, source="arithmetic"),)

    def build(self, run):
        return None

    def measure(self, run, model):
        run.record("answer", 6 * 7)
        if run.settings["how"] != "early":
            run.world.barrier()
        if run.settings["rank"] in (run.world.rank, -1):
            self.fail(run.settings["how"])
        run.world.barrier()

    def fail(self, how):
        if how in ("exception", "early"):
            raise RuntimeError("planted in one rank")
        if how == "sentence":
            raise MultiscaleError("planted sentence")
        if how == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "interrupt":
            raise KeyboardInterrupt
        if how == "wait":
            time.sleep(60)


if __name__ == "__main__":
    OneRankFails().main()
