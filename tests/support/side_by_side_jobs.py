"""What `tests/test_side_by_side.py` has processes do: what their standard input names."""

import json
import os
import signal
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    wish = json.loads(sys.stdin.readline())
    folder = Path(wish["folder"])
    (folder / f"begun-{wish['name']}").touch()
    if wish["do"] == "fail":
        print("out of cheese", flush=True)
        sys.exit(1)
    if wish["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if wish["do"] == "break":
        print("a traceback", file=sys.stderr, flush=True)
        sys.exit(3)
    if wish["do"] == "meet":  # nobody goes on before so many are there
        while len(list(folder.glob("begun-*"))) < wish["count"]:
            time.sleep(0.01)
    if wish["do"] == "wait":
        try:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            (folder / f"listens-{wish['name']}").touch()
            time.sleep(60)
        finally:
            (folder / f"saved-{wish['name']}").touch()
