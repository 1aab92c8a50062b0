"""A `multipart/form-data` body with one file, without I/O: fields first, then the file piece by piece.

What follows the file is ignored, as S3 does; the body must still end as it should.
"""

from collections.abc import Callable, Mapping

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ais.s3.errors import S3Error
from ais.s3.post_form import FIELDS_BYTES_MAX

_FILE = "file"
_PART_OVERHEAD_BYTES = 64


class FormBody:
    """Decoder of one body. `on_file(fields, filename)` is called when the file begins; names are lower-case."""

    def __init__(self, content_type: str, on_file: Callable[[Mapping[str, str], str], None]) -> None:
        """Raise `S3Error` unless `content_type` is that of a form."""
        kind, options = parse_options_header(content_type.encode("utf-8", "surrogateescape"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise S3Error("PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data")
        self._on_file = on_file
        self._fields: dict[str, str] = {}
        self._fields_bytes = 0
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._name = self._filename = ""
        self._value = bytearray()
        self._pieces: list[bytes] = []
        self._had_file = self._has_ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": lambda data, start, end: self._collect(self._header_name, data[start:end]),
                    "on_header_value": lambda data, start, end: self._collect(self._header_value, data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise S3Error("MalformedPOSTRequest", str(error)) from None

    def feed(self, data: bytes) -> list[bytes]:
        """What `data` holds of the file. Raise `S3Error`, also what `on_file` raises."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise S3Error("MalformedPOSTRequest", str(error)) from None
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> None:
        """The body is complete. Raise `S3Error` when it breaks off, or had no file."""
        if not self._has_ended:
            raise S3Error("MalformedPOSTRequest")
        if not self._had_file:
            raise S3Error("InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName=_FILE)

    def _collect(self, where: bytearray, data: bytes) -> None:
        if not self._had_file:
            self._count(len(data))
            where += data

    def _count(self, size: int) -> None:
        self._fields_bytes += size
        if self._fields_bytes > FIELDS_BYTES_MAX:
            raise S3Error("MaxPostPreDataLengthExceeded", MaxPostPreDataLengthBytes=str(FIELDS_BYTES_MAX))

    def _part_begin(self) -> None:
        self._name = self._filename = ""
        self._value.clear()
        if not self._had_file:
            self._count(_PART_OVERHEAD_BYTES)

    def _header_end(self) -> None:
        name, value = self._header_name.lower(), bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()
        if name == b"content-disposition":
            _, options = parse_options_header(value)
            self._name = _text(options.get(b"name", b"")).lower()
            self._filename = _text(options.get(b"filename", b""))

    def _headers_end(self) -> None:
        if self._had_file:
            self._name = ""
        elif self._name == _FILE:
            self._had_file = True
            self._on_file(self._fields, self._filename)
        elif not self._name:
            raise S3Error("MalformedPOSTRequest", "A part of the form has no name")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == _FILE:
            self._pieces.append(data[start:end])
        else:
            self._collect(self._value, data[start:end])

    def _part_end(self) -> None:
        if not self._had_file:
            self._fields[self._name] = _text(bytes(self._value))

    def _end(self) -> None:
        self._has_ended = True


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise S3Error("MalformedPOSTRequest", "The form is not UTF-8") from None
