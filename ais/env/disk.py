"""The disk: the system calls that storage code makes, on one object that tests replace by one that fails.

The attributes are the functions of `os` themselves, so that the seam costs the data path nothing. They raise `OSError`;
`ais.fs` and `ais.core` translate it. Paths are `str` or `bytes`; descriptors are plain ints owned by the caller.
"""

import os


class Disk:
    """Direct system calls. A test subclasses it and overrides the calls that should fail or stall."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    read = staticmethod(os.read)
    preadv = staticmethod(os.preadv)
    pread = staticmethod(os.pread)
    write = staticmethod(os.write)
    pwrite = staticmethod(os.pwrite)
    ftruncate = staticmethod(os.ftruncate)
    fsync = staticmethod(os.fsync)
    fdatasync = staticmethod(os.fdatasync)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    lstat = staticmethod(os.lstat)
    rename = staticmethod(os.rename)
    link = staticmethod(os.link)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    makedirs = staticmethod(os.makedirs)
    rmdir = staticmethod(os.rmdir)
    scandir = staticmethod(os.scandir)
    listdir = staticmethod(os.listdir)
    statvfs = staticmethod(os.statvfs)
    utime = staticmethod(os.utime)
    getxattr = staticmethod(os.getxattr)
    setxattr = staticmethod(os.setxattr)
    removexattr = staticmethod(os.removexattr)
