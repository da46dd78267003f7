"""A run that outlives its process: where a photo kills it, another goes on, and the manifest knows which one it was."""

import ctypes
import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import typer

from idrestore.cli.help import RestoreCommand

SUPERVISED = "supervised"
"""Object of the commands' context where they run as a program of their own, whose process may be split"""
PR_SET_PDEATHSIG = 1
"""Of Linux' prctl: which signal a process gets when its parent dies"""
SI_KERNEL = 128
"""Origin of the signals that a terminal sends, to all processes of a command"""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else ()


class SupervisedCommand(RestoreCommand):
    """A command that restores folders of photos, and goes on if one of them kills its process."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command; as a program of its own, in a child process."""
        if ctx.obj == SUPERVISED and (code := supervise(_folders(ctx.params))) is not None:
            ctx.exit(code)
        return super().invoke(ctx)


def _folders(params: dict[str, Any]) -> list[Path]:
    """Return where manifests may be: in the folder for the results, or where `batch.plan_beside` puts them.

    That is not asked here, as importing it starts threads.
    """
    if params["out"]:
        return [params["out"]]
    suffix = params["suffix"] or "-restored"
    return list(dict.fromkeys(_beside(path, suffix) for path in params["photos"]))


def _beside(source: Path, suffix: str) -> Path:
    """Return the folder of the results of a photo, or of a folder of photos."""
    if not source.is_dir():
        return source.parent
    named = source if source.name not in ("", "..") else Path(os.path.realpath(source))
    return named.parent / f"{named.name}{suffix}"


def supervise(folders: Collection[Path]) -> int | None:
    """Split the process: return None in the child, which is to do the work; wait, and return its exit code, here.

    A child that is killed (by the system, for memory, or by a fault in a decoder) is followed by another as long as
    manifests in the folders get on: the photos that were begun come last, and have failed if they kill it again.
    Call it before threads are started. Elsewhere than on Linux it returns None at once.
    """
    if sys.platform != "linux":
        return None
    while True:
        before = _manifests(folders)
        earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
            return None
        code = os.waitstatus_to_exitcode(_wait(child))
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        if code >= 0 or -code in PASSED_ON:
            return code if code >= 0 else 128 - code
        goes_on = _manifests(folders) != before
        then = "it is started again; the photo that it was at comes last" if goes_on else "is there too little memory?"
        print(f"idrestore: the process was killed ({signal.Signals(-code).name}): {then}", file=sys.stderr, flush=True)
        if not goes_on:
            return 1


def _wait(child: int) -> int:
    """Return the status with which a child ends; pass on what only this process was told."""
    while True:
        told = signal.sigwaitinfo({*PASSED_ON, signal.SIGCHLD})
        if told.si_signo in PASSED_ON and told.si_code != SI_KERNEL:
            os.kill(child, told.si_signo)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status


def _manifests(folders: Collection[Path]) -> list[tuple[str, int, int]]:
    """Return what shows whether manifests were written to."""
    paths = (path for folder in folders for path in sorted(folder.glob(".idrestore/manifest*.sqlite")))
    found = [(path, path.stat()) for path in paths]
    return [(str(path), about.st_mtime_ns, about.st_size) for path, about in found]
