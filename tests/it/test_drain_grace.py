"""The end of a daemon's patience: `drain_grace_s` after it was asked to stop, what still runs is ended, and it goes."""

import concurrent.futures
import signal

from lib import daemon as daemons
from lib import functions, host, waiting

FOREVER = "import time\ndef handler(event, context):\n    print('under way')\n    time.sleep(800)\n"


def test_what_runs_beyond_the_grace_is_ended_and_the_daemon_goes(start_daemon, python):
    daemon = start_daemon(config="drain_grace_s = 1\n")
    endless = functions.Maker(daemon, python, daemons.ROLE)(FOREVER, Timeout=900)
    family = host.children_of(daemon.pid)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(endless.invoke, {}, tail=False)
        waiting.until(lambda: "under way" in daemon.cli("logs", endless.name, check=False).stdout, "the handler runs")
        family |= host.children_of(daemon.pid)
        daemon.process.send_signal(signal.SIGTERM)
        # Far sooner than the function's own time-out, and with everything that it had started.
        assert daemon.process.wait(daemons.STOP_WITHIN_S) == 0
        told = running.exception(30) or running.result()
    assert isinstance(told, Exception) or told.error is not None, "nothing pretends that the invocation was a success"
    assert "the grace is over" in daemon.stderr_tail()
    waiting.until(lambda: not (family & set(host.processes())), "what the daemon started is gone")
