"""Reading an extended attribute of a file: one call, without the 64 KiB that Python has the kernel allocate."""

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
getxattr_into, _fgetxattr = _LIBC.getxattr, _LIBC.fgetxattr
"""The kernel's call for a path: it writes into a buffer of the caller's. Size, or -1 with an error number set."""
getxattr_into.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_fgetxattr.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
getxattr_into.restype = _fgetxattr.restype = ctypes.c_ssize_t
_BYTES = 4096
_SHORT_BYTES = 128


def attribute_getter() -> Callable[[str | bytes | int, str], bytes]:
    """A function that does what `os.getxattr` does, for any number of threads."""
    spare: list[Any] = []  # buffers: as many as there were threads in here at the same time
    is_long = False

    def getxattr(file: str | bytes | int, attribute: str) -> bytes:
        """As `os.getxattr`, which asks for up to 64 KiB what is not within 128 bytes: the kernel allocates and clears
        so much each time. Where the last one was as long, this asks for 4 KiB.
        """
        nonlocal is_long
        if not is_long:
            value = os.getxattr(file, attribute)
            is_long = len(value) > _SHORT_BYTES
            return value
        try:
            buffer = spare.pop()
        except IndexError:
            buffer = ctypes.create_string_buffer(_BYTES)
        if isinstance(file, int):
            size = _fgetxattr(file, attribute.encode(), buffer, _BYTES)
        else:
            size = getxattr_into(os.fsencode(file), attribute.encode(), buffer, _BYTES)
        code, value = ctypes.get_errno(), bytes(buffer[: max(size, 0)])
        spare.append(buffer)
        if size >= 0:
            is_long = size > _SHORT_BYTES
            return value
        if code == errno.ERANGE:
            return os.getxattr(file, attribute)
        raise OSError(code, os.strerror(code), file)

    return getxattr
