"""Every test runs offline, and so does every program that a test starts."""

import os
import sys
from pathlib import Path

OFFLINE = Path(__file__).parent / "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])])
sys.path.insert(0, str(OFFLINE))
sys.modules.pop("sitecustomize", None)  # Python may have loaded another one at its start
import sitecustomize  # noqa: E402, F401
