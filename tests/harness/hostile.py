"""Archives that nobody should trust: hostile names, links, lies about sizes, bombs, archives in archives."""

import gzip
import io
import tarfile
import warnings
import zipfile

import lz4.frame

EXTENSIONS = ("tar", "tgz", "tar.gz", "zip", "tar.lz4")
BOMB_BYTES = 16 << 20
NAMES = (
    "a", "d/b.jpg", "d/b.cls", "../../escaped", "/etc/escaped", "./x/../../escaped", "d/", "..", "a", "\\..\\escaped",
    "ü" * 60, "long/" + "n" * 300, "%00", "a\nb", " ", "c:\\escaped", "-rf", "...",
)  # fmt: skip


def tar(names: tuple[str, ...] = NAMES, kind: int = tarfile.GNU_FORMAT, size: int = 700) -> bytes:
    """Members of these names, then links, a device, a pipe, a sparse header, pax records that lie."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
        for special in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("special")
            info.type, info.linkname = special, "../../../etc/passwd"
            archive.addfile(info)
        if kind == tarfile.PAX_FORMAT:
            info = tarfile.TarInfo("pax")
            info.pax_headers = {"size": "99999999999999", "path": "../../escaped", "GNU.sparse.size": "1e9"}
            archive.addfile(info)
    return out.getvalue()


def large_claim() -> bytes:
    """A tar whose only member claims eight exabytes."""
    info = tarfile.TarInfo("huge")
    info.size = (1 << 63) - 1
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def long_name_claim() -> bytes:
    """A tar with a long name of a gigabyte, as its header says."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    return info.tobuf(tarfile.GNU_FORMAT) + b"n" * 5000


def zipped(method: int = zipfile.ZIP_DEFLATED, content: bytes = b"content" * 50) -> bytes:
    """A zip with hostile names and a link."""
    out = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out, "w", method) as archive:  # of equal names
        for name in NAMES:
            archive.writestr(zipfile.ZipInfo(name.replace("\0", "")), content, method)
        link = zipfile.ZipInfo("special")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../../../etc/passwd")
    return out.getvalue()


def seeds(extension: str) -> list[bytes]:
    """What is broken at random afterwards."""
    plain = [
        tar(),
        tar(kind=tarfile.PAX_FORMAT),
        tar(kind=tarfile.USTAR_FORMAT, names=NAMES[:8]),
        tar(("inner.tar",), size=20_000),
        large_claim(),
        long_name_claim(),
        b"",
        bytes(1024),
        b"ustar" * 300,
    ]
    if extension == "tar":
        return plain
    if extension == "zip":
        return [zipped(), zipped(zipfile.ZIP_STORED), zipped(content=zipped()), bomb("zip"), b"PK\x05\x06" + bytes(18)]
    pack = lz4.frame.compress if extension == "tar.lz4" else gzip.compress
    return [*(pack(one) for one in plain), bomb(extension), pack(pack(tar()))]


def bomb(extension: str) -> bytes:
    """A few thousand bytes that are many millions when they are unpacked."""
    if extension == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb", bytes(BOMB_BYTES))
        return out.getvalue()
    pack = lz4.frame.compress if extension == "tar.lz4" else gzip.compress
    return pack(tar(("bomb",), size=BOMB_BYTES))
