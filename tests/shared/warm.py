"""A Python that has its imports behind it: each process is a fork of one that did them once.

A session of pytest that a test starts, and each of its workers, is a process of its own with its
own arguments, environment, folder, files and exit code; but half of its time would go to importing
torch and transformers. The command that stands in for ``sys.executable`` hands all of that to a
process that waits, has imported them, and forks. What it cannot do so, Python itself does.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

MODULES = (
    *("torch", "transformers", "transformers.models.auto.modeling_auto"),
    *("transformers.models.llama.modeling_llama", "transformers.generation.utils"),
    *("transformers.models.auto.tokenization_auto", "scipy.stats", "jinja2", "rich.table"),
)

POSSIBLE = hasattr(os, "fork") and hasattr(os, "pidfd_open")

CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    asked = json.dumps([{me!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [b"%16d" % len(asked)], [0, 1, 2])
    server.sendall(asked)
    code = int(server.recv(16) or b"-9")
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@contextlib.contextmanager
def python() -> Iterator[Path]:
    """The command, as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="warm") as folder:
        place, client = Path(folder) / "socket", Path(folder) / "python"
        text = CLIENT.format(python=sys.executable, path=str(place), me=str(client))
        client.write_text(text, encoding="utf-8")
        client.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(place))
            listening.listen(16)
            process = subprocess.Popen(
                [sys.executable, __file__, str(listening.fileno()), folder],
                pass_fds=[listening.fileno()],
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""},
                stdin=subprocess.PIPE,
            )
        try:
            yield client
        finally:
            process.communicate()


def main(number: int, folder: str) -> None:
    """Import, and fork for each connection until standard input ends."""
    declared = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.chdir(folder)
    import pytest

    # plugins are imported as pytest does, which rewrites their assertions
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-p", "no:cacheprovider", "--rootdir", folder, folder])
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what forks share stays shared
    path = [one for one in sys.path[1:] if one and one not in declared]
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(fileno=number) as listening:
        while listening in select.select([listening, sys.stdin], [], [])[0]:
            connection, _ = listening.accept()
            if not os.fork():
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _keep(connection, path)
            connection.close()


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(connection: socket.socket, path: Sequence[str]) -> NoReturn:
    """Fork the process, and say how it ended; it does not outlive who asked for it."""
    size, files, _, _ = socket.recv_fds(connection, 16, 3)
    with connection.makefile("rb") as stream:
        asked = json.loads(stream.read(int(size)))
    child = os.fork()
    if not child:
        connection.close()
        _become(files, path, *asked)
    for file in files:
        os.close(file)
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, connection.fileno()], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(b"%d" % code)
    os._exit(0)


def _become(
    files: Sequence[int],
    path: Sequence[str],
    executable: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
) -> NoReturn:
    """Be what ``python ARGUMENTS`` would be."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    declared = [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one]
    importlib.invalidate_caches()
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())
    code: Any = None
    try:
        match arguments[1:] if arguments[:1] == ["-u"] else arguments:
            case ["-c", text, *rest]:
                sys.executable, sys.argv = executable, ["-c", *rest]
                sys.path[:] = ["", *declared, *path]
                module = sys.modules["__main__"] = types.ModuleType("__main__")
                exec(compile(text, "<string>", "exec"), vars(module))  # noqa: S102 - as asked
            case ["-m", name, *rest] | ["-mpytest" as name, *rest]:
                sys.executable, sys.argv = executable, [name, *rest]
                sys.path[:] = [folder, *declared, *path]
                runpy.run_module(name.removeprefix("-m"), run_name="__main__", alter_sys=True)
            case _:
                os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as Python ends
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(int(code or 0))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
