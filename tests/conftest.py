"""Every test runs offline and on one thread, and so does every program that a test starts."""

import os
import signal
import sys
from pathlib import Path

OFFLINE = Path(__file__).parent / "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["OMP_NUM_THREADS"] = "1"  # the models of the tests are so small that threads would wait for each other
os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])])
sys.path.insert(0, str(OFFLINE))
sys.modules.pop("sitecustomize", None)  # Python may have loaded another one at its start
import sitecustomize  # noqa: E402, F401

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell started the suite in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what the tests start must hear Ctrl-C all the same
