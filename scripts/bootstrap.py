#!/usr/bin/env python3
"""Set up ``.venv`` from the lock, on a machine with git, make, some Python 3 and nothing else.

    python3 scripts/bootstrap.py demo   what `make demo` needs
    python3 scripts/bootstrap.py dev    what `make test` and `make lint` need as well
    python3 scripts/bootstrap.py lock   resolve pyproject.toml again and rewrite the locks

It finds a Python that the package supports (or has uv fetch one), puts uv into ``.tools`` unless a
recent one is on PATH, and installs what the lock names, by hash. A second call finds the stamp and
does nothing. It writes to ``.venv``, ``.tools`` and the package caches only.

Standard library, and no syntax after Python 3.6: it runs before anything is installed.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from typing import Dict, Iterator, List, Optional, Tuple

Version = Tuple[int, ...]

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
TOOLS = os.path.join(ROOT, ".tools")
LOCKS = {"demo": "requirements.lock", "dev": "requirements-dev.lock"}
UV_LOCK = os.path.join("scripts", "bootstrap.lock")

SUPPORTED = ((3, 12), (3, 13), (3, 14))  # in the order they are looked for
UV_RUNS_ON = (3, 8)
OLDEST_UV = (0, 5)

WINDOWS = os.name == "nt"
BIN, EXE = ("Scripts", ".exe") if WINDOWS else ("bin", "")
VENV_PYTHON = os.path.join(VENV, BIN, "python" + EXE)

# Where pip has been told to look for packages, uv looks too. A pip setting -> uv's variable, its separator.
PIP_TO_UV = {
    "index_url": ("UV_DEFAULT_INDEX", " "),
    "extra_index_url": ("UV_INDEX", " "),
    "find_links": ("UV_FIND_LINKS", ","),
    "no_index": ("UV_NO_INDEX", " "),
    "trusted_host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
}


class SetupError(Exception):
    """What stands in the way, and what the user can do about it."""


def say(text: str) -> None:
    """Print a line at once, so that it stands before the output of what it announces."""
    print("setup: " + text, flush=True)


def dotted(version: Version) -> str:
    """Return ``3.12`` for ``(3, 12)``."""
    return ".".join(str(number) for number in version)


# ----------------------------------------------------------------------------------------------------- running programs
def output_of(*command: str) -> Optional[str]:
    """Return what a command prints, or None if it cannot be started, fails or hangs."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def run(command: List[str], env: Optional[Dict[str, str]] = None) -> bool:
    """Run a command with its output shown; return whether it succeeded."""
    sys.stdout.flush()
    try:
        return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode == 0
    except OSError:
        return False


# ------------------------------------------------------------------------------------------------------- finding Python
def candidates() -> Iterator[str]:
    """Yield paths that may be Python interpreters, this one first, without running any."""
    yield sys.executable
    folders = os.environ.get("PATH", "").split(os.pathsep)
    yield from _named_python(folder for folder in folders if folder)
    yield from _named_python(_installed_versions(folders))


def _named_python(folders: Iterator[str]) -> Iterator[str]:
    """Yield what is called python, python3 or python3.x in ``folders``."""
    name = re.compile(r"python(3(\.\d+)?)?" + re.escape(EXE), re.IGNORECASE)
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "python*"))):
            if name.fullmatch(os.path.basename(path)):
                yield path


def _installed_versions(path_folders: List[str]) -> Iterator[str]:
    """Yield folders of interpreters that version managers and installers keep off PATH.

    A pyenv "shim" on PATH fails for every version but the chosen ones; the interpreters stand beside the shims.
    """
    managers = [os.path.dirname(f) for f in path_folders if os.path.basename(f.rstrip("/\\")) == "shims"]
    managers += [os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv")]
    patterns = [os.path.join(glob.escape(folder), "versions", "*", BIN) for folder in managers if folder]
    patterns += [
        os.path.join(glob.escape(TOOLS), "python", "*", "" if WINDOWS else BIN),
        os.path.expanduser("~/.local/share/uv/python/*/bin"),
        os.path.join(os.environ.get("APPDATA", "~"), "uv", "python", "*"),
        os.path.join(os.environ.get("LOCALAPPDATA", "~"), "Programs", "Python", "Python3*"),
        "/opt/homebrew/bin",
        "/usr/local/bin",
        "/opt/python/*/bin",
    ]
    for pattern in patterns:
        yield from sorted(glob.glob(pattern))


def probe(python: str) -> Optional[Version]:
    """Return the version of an interpreter by running it, or None if it is none we can use.

    Wheels exist for 64-bit CPython with its lock; a free-threaded build finds none.
    """
    code = (
        "import sys, sysconfig; ok = sys.maxsize > 2**32 and sys.implementation.name == 'cpython' "
        "and not sysconfig.get_config_var('Py_GIL_DISABLED'); print(*(sys.version_info[:2] if ok else ()))"
    )
    words = (output_of(python, "-c", code) or "").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else None


def interpreters() -> List[Tuple[Version, str]]:
    """Return every interpreter that runs, as (version, path), the one running this first."""
    found = []
    seen = set()
    for path in candidates():
        real = os.path.realpath(path)
        if real in seen:
            continue
        version = probe(path)
        if version:
            seen.add(real)
            found.append((version, path))
    return found


def choose(found: List[Tuple[Version, str]]) -> Optional[str]:
    """Return the interpreter to use: the one running this if it will do, else by the order of SUPPORTED."""
    if found and found[0][0] in SUPPORTED and found[0][1] == sys.executable:
        return sys.executable
    for wanted in SUPPORTED:
        for version, path in found:
            if version == wanted:
                return path
    return None


def fetch_python(uv: str, env: Dict[str, str], found: List[Tuple[Version, str]]) -> str:
    """Have uv fetch a Python into ``.tools/python`` and return its path; SetupError if it cannot."""
    wanted = dotted(SUPPORTED[0])
    say(f"no Python {wanted} to {dotted(SUPPORTED[-1])} here; fetching {wanted} into .tools/python ...")
    folder = os.path.join(TOOLS, "python")
    if run([uv, "python", "install", "--install-dir", folder, "--no-bin", wanted], env):
        python = choose(interpreters())
        if python:
            return python
    have = ", ".join(sorted({f"{dotted(version)} ({path})" for version, path in found})) or "none that runs"
    raise SetupError(
        "rs_forecast needs Python {0} or newer; found {1}, and fetching one did not work.\n"
        "Install it, then call make again. For instance:\n"
        "  Debian, Ubuntu   sudo apt install python{0} python{0}-venv\n"
        "  Fedora, RHEL     sudo dnf install python{0}\n"
        "  macOS            brew install python@{0}\n"
        "  Windows          winget install Python.Python.{0}\n"
        "  conda            conda create -n py312 python={0}\n"
        "If it stands in an unusual place, name it: make demo PYTHON=/path/to/python{0}".format(wanted, have)
    )


# ----------------------------------------------------------------------------------------------------------- finding uv
def find_uv() -> Optional[str]:
    """Return a uv that runs and is recent enough: from ``.tools``, else from PATH."""
    for path in (os.path.join(TOOLS, "uv", BIN, "uv" + EXE), shutil.which("uv")):
        words = (output_of(path, "--version") or "").split() if path else []
        if len(words) > 1 and tuple(int(n) for n in re.findall(r"\d+", words[1])[:2]) >= OLDEST_UV:
            return path
    return None


def install_uv(found: List[Tuple[Version, str]]) -> str:
    """Install uv into ``.tools/uv`` with venv and pip, or pip alone, and return its path; SetupError if neither can."""
    say("fetching uv, the installer, into .tools/uv ...")
    folder = os.path.join(TOOLS, "uv")
    hosts = [path for version, path in found if version >= UV_RUNS_ON]
    hosts.sort(key=lambda path: path != choose(found))
    has_pip = False
    for host in hosts[:4]:
        shutil.rmtree(folder, ignore_errors=True)
        if output_of(host, "-m", "venv", folder) is not None:
            pip, target = [os.path.join(folder, BIN, "python" + EXE), "-m", "pip"], []  # type: List[str], List[str]
        elif output_of(host, "-m", "pip", "--version") is not None:
            pip, target = [host, "-m", "pip"], ["--target", folder]
        else:
            continue
        has_pip = True
        quiet = ["--quiet", "--disable-pip-version-check"]
        if run([*pip, "install", *quiet, "--require-hashes", *target, "-r", os.path.join(ROOT, UV_LOCK)]):
            uv = find_uv()
            if uv:
                return uv
        break  # a second interpreter meets the same network
    shutil.rmtree(folder, ignore_errors=True)
    raise SetupError(_no_packages("uv") if has_pip else _no_pip(found))


def _no_pip(found: List[Tuple[Version, str]]) -> str:
    have = ", ".join(f"{path} is {dotted(version)}" for version, path in found) or "none"
    return (
        f"no Python here (of {dotted(UV_RUNS_ON)} or newer) has venv or pip: nothing can be installed. Found: {have}.\n"
        "On Debian and Ubuntu: sudo apt install python3-venv. Elsewhere: python3 -m ensurepip.\n"
        "Or put uv on PATH by any other way."
    )


def _no_packages(what: str) -> str:
    return (
        "could not install {0}; the lines above say why. Most often the package index cannot be reached.\n"
        "Behind a mirror or proxy, set what pip and uv read: PIP_INDEX_URL, HTTPS_PROXY, SSL_CERT_FILE.\n"
        "Without internet, fetch the wheels elsewhere (pip download -r {1} -d wheels; pip download -r {2} -d wheels),\n"
        "bring the folder here, and set PIP_FIND_LINKS=/path/to/wheels PIP_NO_INDEX=1.\n"
        "Then call make again: it goes on where it stopped."
    ).format(what, UV_LOCK.replace(os.sep, "/"), LOCKS["dev"])


def uv_environment(python: str) -> Dict[str, str]:
    """Return the environment for uv: ours, and pip's settings where uv has none of its own."""
    env = dict(os.environ)
    env.pop("VIRTUAL_ENV", None)  # an activated environment is not what is meant
    if any(name.startswith("UV_") and ("INDEX" in name or "FIND_LINKS" in name) for name in env):
        return env
    hosts = (os.path.join(TOOLS, "uv", BIN, "python" + EXE), python, sys.executable)  # not every Python has pip
    settings = next(filter(None, (output_of(host, "-m", "pip", "config", "list") for host in hosts)), "")
    for line in settings.splitlines():
        setting = re.match(r"(?:global|install|:env:)\.([\w-]+)='(.*)'$", line)
        name = setting.group(1).replace("-", "_").lower() if setting else ""
        if setting and name in PIP_TO_UV:
            variable, separator = PIP_TO_UV[name]
            env.setdefault(variable, separator.join(setting.group(2).replace("\\n", " ").split()))
    if "UV_INDEX" in env:
        env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")  # as pip does; the hashes decide what is let in
    return env


# ------------------------------------------------------------------------------------------------------ the environment
def digest() -> str:
    """Return a hash of all that decides what is installed, and of where."""
    text = hashlib.sha256(ROOT.encode("utf-8"))
    for name in ("pyproject.toml", *LOCKS.values()):
        with open(os.path.join(ROOT, name), "rb") as file:
            text.update(file.read())
    return text.hexdigest()


def is_ready(level: str) -> bool:
    """Return whether ``.venv`` holds what ``level`` needs; the development environment holds the demo's too."""
    wanted = digest()
    for name in {level, "dev"}:
        try:
            with open(os.path.join(VENV, ".installed-" + name), encoding="ascii") as file:
                if file.read() == wanted and os.path.exists(VENV_PYTHON):
                    return True
        except OSError:
            continue
    return False


def install(level: str) -> None:
    """Bring ``.venv`` to what the lock of ``level`` names; SetupError says what stands in the way."""
    found = interpreters()
    uv = find_uv() or install_uv(found)
    python = choose(found)
    env = uv_environment(python or sys.executable)
    if probe(VENV_PYTHON) not in SUPPORTED:
        python = python or fetch_python(uv, env, found)
        say(f"making .venv with {python}")
        if not run([uv, "venv", "--quiet", "--clear", "--relocatable", "--no-project", "--python", python, VENV], env):
            raise SetupError("could not make .venv; the lines above say why. Remove the folder and call make again.")
    lock = LOCKS[level]
    with open(os.path.join(ROOT, lock), encoding="utf-8") as file:
        count = sum("==" in line for line in file)
    say(f"installing the {count} packages of {lock} into .venv; the first time this downloads a few hundred MB ...")
    pip_install = [uv, "pip", "install", "--python", VENV_PYTHON]
    if not run([*pip_install, "--require-hashes", "-r", lock], env):
        raise SetupError(_no_packages("the packages"))
    if not run([*pip_install, "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT], env):
        raise SetupError("could not install rs_forecast itself into .venv; the lines above say why.")
    with open(os.path.join(VENV, ".installed-" + level), "w", encoding="ascii") as file:
        file.write(digest())
    say("ready: .venv")


def lock_all() -> None:
    """Resolve the newest versions that pyproject.toml allows and write the three locks, hashes and no addresses."""
    found = interpreters()
    uv = find_uv() or install_uv(found)
    python = choose(found)
    env = uv_environment(python or sys.executable)
    python = python or fetch_python(uv, env, found)
    resolve = [uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate"]
    resolve += ["--python", python, "--python-version", dotted(SUPPORTED[0]), "pyproject.toml", "--group", "build"]
    same = ["--constraints", LOCKS["dev"]]  # one version of each package, whichever lock it comes from
    commands = [
        [*resolve, "--upgrade", "--all-extras", "-o", LOCKS["dev"]],
        [*resolve, *same, "--extra", "plots", "-o", LOCKS["demo"]],
    ]
    for command in commands:
        say("writing " + command[-1])
        if not run(command, env):
            raise SetupError("the versions do not resolve; the lines above say why.")
    _lock_uv(uv, env)


def _lock_uv(uv: str, env: Dict[str, str]) -> None:
    say("writing " + UV_LOCK)
    command = [uv, "pip", "compile", "-", "--quiet", "--upgrade", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["-o", UV_LOCK]
    done = subprocess.run(command, cwd=ROOT, env=env, input=b"uv\n", stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SetupError("uv itself does not resolve; the lines above say why.")


def main(arguments: List[str]) -> int:
    """Do what the one argument says and return the exit code."""
    if len(arguments) != 1 or arguments[0] not in (*LOCKS, "lock"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if arguments[0] == "lock":
            lock_all()
        elif not is_ready(arguments[0]):
            install(arguments[0])
    except SetupError as error:
        print("\nsetup: " + str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
