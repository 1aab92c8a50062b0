"""Requests written out byte by byte: what no HTTP client would send."""

import asyncio


async def ask(url: str, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a head (lines separated by newlines; a Host is added unless it has one). Return status and all bytes."""
    host, _, port = url.rpartition("//")[2].rpartition(":")
    lines = head.strip().split("\n")
    if not any(line.lower().startswith("host:") for line in lines):
        lines.append(f"Host: {host}:{port}")
    lines += ["Connection: close", f"Content-Length: {len(body)}", "", ""]
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write("\r\n".join(lines).encode() + body)
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    return int(answer[9:12]), answer
