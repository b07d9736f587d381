"""A Ray cluster of two nodes on this machine (Linux), to try `run.py service --ray` without a second one.

.venv-service/bin/python service/deploy/two_nodes.py FOLDER      (until Ctrl-C)

Says each node's process id and the command for the service. FOLDER keeps the cluster's token and logs; Ray's
own are in /tmp/ray.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")
PORTS = (
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
)
"""What Ray else takes at random: a node whose agent comes late does not start."""
FIRST = 21_000
LIBC = ctypes.CDLL(None)


def environment(folder: Path) -> dict[str, str]:
    """What the nodes have, and whoever joins the cluster must have: the token."""
    token = folder / "ray.token"
    if not token.exists():
        with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else a ComfyUI has the least right to the processor
        "RAY_raylet_start_wait_time_s": "120",
    }


def end_with_parent() -> None:
    """In the child, before it starts: whoever is killed without a chance to end the nodes ends them too."""
    LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def start(folder: Path, number: int, first: int, cpus: int = 1) -> subprocess.Popen:
    """Starts a node, the head for number 0; its process ends with the node."""
    base = first + 100 * number
    command = [str(RAY), "start", "--block", "--node-ip-address=127.0.0.1", f"--num-cpus={cpus}"]
    command += [f"--{name}={base + 1 + n}" for n, name in enumerate(PORTS)]
    command += [f"--min-worker-port={base + 20}", f"--max-worker-port={base + 80}"]
    command += ["--object-store-memory=100000000", "--disable-usage-stats"]  # nothing large goes through Ray
    if number == 0:
        command += ["--head", f"--port={first}", "--include-dashboard=false"]
    else:
        command += [f"--address=127.0.0.1:{first}"]
    with (folder / f"node{number}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            env={**os.environ, **environment(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )


def is_up(folder: Path, number: int, node: subprocess.Popen) -> bool:
    """Waits until a node has joined its cluster; False where it ended instead (Ray gives it 30 s)."""
    log = folder / f"node{number}.log"
    while node.poll() is None:
        if "--block" in log.read_text("utf-8", "replace"):  # said once it has joined
            return True
        time.sleep(0.2)
    return False


def raylet_of(node: subprocess.Popen) -> int | None:
    """The process id of a node's raylet, once it has one."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == node.pid and words[0].endswith(b"/raylet"):
            return int(entry.name)
    return None


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    nodes: list[subprocess.Popen] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for number in range(2):
            node = start(folder, number, FIRST)
            nodes.append(node)
            if not is_up(folder, number, node):
                print(f"Node {number} did not start:\n{(folder / f'node{number}.log').read_text()[-2000:]}")
                return 1
            print(f"node {number}: process {node.pid}, raylet {raylet_of(node)}", flush=True)
        given = " ".join(f"{name}={value}" for name, value in environment(folder).items())
        print(f"{given} python run.py service --ray 127.0.0.1:{FIRST} --workers 1-2 --cpu", flush=True)
        for node in nodes:
            node.wait()
        return 0
    except KeyboardInterrupt:
        return 0
    finally:
        for node in reversed(nodes):
            node.terminate()
        for node in nodes:
            node.wait()


if __name__ == "__main__":
    sys.exit(main())
