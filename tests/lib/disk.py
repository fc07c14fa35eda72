"""What can go wrong below the daemon's feet, done to a running one."""

import contextlib
import os


@contextlib.contextmanager
def nothing_can_be_unpacked(daemon):
    """The directory of unpacked code belongs to somebody else for a while."""
    folder = daemon.state / "unpacked"
    before = folder.stat()
    os.chown(folder, 0, 0)
    folder.chmod(0o755)
    try:
        yield
    finally:
        os.chown(folder, before.st_uid, before.st_gid)
        folder.chmod(before.st_mode & 0o7777)
