"""A server that speaks S3, moto's, in a process of its own on this machine.

``python s3_server.py`` prints its port and serves until its input ends.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator

from gguf_server import running

BUCKET = "team"

KEYS = {
    "AWS_ACCESS_KEY_ID": "a-key-of-nobody",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-nobody",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serve an empty bucket; yields the environment by which it is found.

    What fsspec has opened before, on another server, is forgotten: by the class that it knows, as
    pytest inside pytest imports s3fs once more.
    """
    from fsspec import get_filesystem_class

    get_filesystem_class("s3").clear_instance_cache()
    with running(__file__) as port:
        found = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        made = f"import s3fs; s3fs.S3FileSystem().mkdir('{BUCKET}')"
        subprocess.run([sys.executable, "-c", made], env={**os.environ, **found}, check=True)
        yield found


def _serve() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    with contextlib.redirect_stdout(io.StringIO()):  # it says that it starts
        server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
