"""Form bodies come out the same however they are cut; what is no form is refused by its code."""

from collections.abc import Mapping

import pytest

from ais.s3.errors import S3Error
from ais.s3.form_body import FormBody

KIND = "multipart/form-data; boundary=b0"
CONTENT = b"\r\n--b0x\r\n--b\r\n\r\n-- b0--" * 3
FORM = (
    b'--b0\r\nContent-Disposition: form-data; name="Key"\r\n\r\nup/${filename}\r\n'
    + '--b0\r\ncontent-disposition: form-data; name="x-amz-meta-ä"\r\nContent-Type: text/plain\r\n\r\nö\r\n'.encode()
    + '--b0\r\nContent-Disposition: form-data; name="file"; filename="käse.txt"\r\n\r\n'.encode()
    + CONTENT
    + b'\r\n--b0\r\nContent-Disposition: form-data; name="late"\r\n\r\nignored\r\n--b0--\r\n'
)


def _read(body: bytes, step: int) -> tuple[dict[str, str], str, bytes]:
    begun: list[tuple[Mapping[str, str], str]] = []
    form = FormBody(KIND, lambda fields, filename: begun.append((dict(fields), filename)))
    content = b"".join(piece for at in range(0, len(body), step) for piece in form.feed(body[at : at + step]))
    form.finish()
    ((fields, filename),) = begun
    return dict(fields), filename, content


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 10_000])
def test_any_cut(step: int) -> None:
    """Fields by lower-case name, the name of the file, its bytes; what follows the file is not looked at."""
    fields = {"key": "up/${filename}", "x-amz-meta-ä": "ö"}
    assert _read(FORM, step) == (fields, "käse.txt", CONTENT)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("", "PreconditionFailed"),
        ("text/plain", "PreconditionFailed"),
        ("ă", "PreconditionFailed"),
        ("multipart/form-data", "PreconditionFailed"),
        ("multipart/form-data; boundary=", "PreconditionFailed"),
        ("multipart/form-data; boundary=" + "b" * 1000, "MalformedPOSTRequest"),
    ],
)
def test_other_content_types(kind: str, code: str) -> None:
    """Only forms with a boundary are read."""
    with pytest.raises(S3Error) as caught:
        FormBody(kind, lambda _fields, _filename: None)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MalformedPOSTRequest"),
        (FORM[:-10], "MalformedPOSTRequest"),
        (b"nonsense", "MalformedPOSTRequest"),
        (b"--b0--\r\n", "InvalidArgument"),
        (b"--b0\r\nX: y\r\n\r\nv\r\n--b0--\r\n", "MalformedPOSTRequest"),
        (FORM.replace("ö".encode(), b"\xff"), "MalformedPOSTRequest"),
        (b'--b0\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 1000, "MaxPostPreDataLengthExceeded"),
        (b"--b0\r\nContent-Disposition: form-data" + b"; x=y" * 9000, "MalformedPOSTRequest"),
    ],
)
def test_broken_bodies(body: bytes, code: str) -> None:
    """Cut off, no form at all, without a file or a name, not UTF-8, too much before the file."""
    with pytest.raises(S3Error) as caught:
        _read(body, 100)
    assert caught.value.code == code
