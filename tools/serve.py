"""`python run.py serve`: ComfyUI's web page with this pack, the demo graph open in the browser."""

from __future__ import annotations

import argparse
import contextlib
import sys
import webbrowser

from .demo import BASE, WORKFLOW, accelerated
from .server import PACK, Server, ServerError


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8188)
    args = parser.parse_args()
    try:
        with Server(BASE, cpu=not accelerated(), port=args.port) as server:
            page = f"{server.url}/?template={WORKFLOW}&source={PACK}"
            print(f"{page}\nCtrl-C ends it.", flush=True)
            webbrowser.open(page)
            with contextlib.suppress(KeyboardInterrupt):
                server.process.wait()
    except ServerError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
