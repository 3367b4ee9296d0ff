"""Which folders a tool may read and write."""

import contextlib
import fnmatch
import os
import stat
import tempfile

from exec_protocol import ToolError


def resolve_below(root, path):
    """The real path of the folder `path`, which must lie in the folder `root` or be it.

    `path` is relative to `root` or absolute. Symbolic links are followed before
    the check, so a link cannot lead out. Whether anything exists outside is not told.
    """
    if ".." in path.split("/"):
        raise ToolError(f"path must not contain '..': {path}")
    root = os.path.realpath(root)
    full = os.path.realpath(os.path.join(root, path))
    if not is_within(root, full):
        raise ToolError(f"path is outside the folder that this tool may read: {path}")
    if not os.path.exists(full):
        raise ToolError(f"path does not exist: {path}")
    if not os.path.isdir(full):
        raise ToolError(f"path is not a directory: {path}")
    if not os.access(full, os.R_OK | os.X_OK):
        raise ToolError(f"path cannot be read: {path}")
    return full


def is_within(folder, path):
    """Whether the real path `path` is `folder` or lies in it."""
    return os.path.commonpath([folder, path]) == folder


def matches(pattern, relative_path):
    """Whether a shell pattern fits: the whole relative path if it has a slash, else the name."""
    subject = relative_path if "/" in pattern else os.path.basename(relative_path)
    return fnmatch.fnmatchcase(subject, pattern)


def private_folder(name):
    """The folder `name` below the system's temporary folder, made if need be.

    Everyone may write to the temporary folder, so a folder or link that somebody
    else put there first is refused.
    """
    path = os.path.join(tempfile.gettempdir(), f"{name}-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_ours or found.st_mode & 0o022:
        raise ToolError(f"the temporary folder {name} belongs to someone else")
    return path
