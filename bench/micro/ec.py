"""What erasure coding costs on one core beside the code alone: cutting a file into slices, putting it together again.

usage: python bench/micro/ec.py [--mib 64] [--rounds 5]

Everything is in the page cache and in this process; figures are MB (10^6 bytes of the object) per second of CPU, the
median of the rounds. With PyECLib installed (it is no dependency of ours) its rates are shown too.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ais.core.meta import ObjectMeta
from ais.ec import code, cutting
from ais.ec import slice as slices
from ais.ec.slice import Slice

KIB, MIB = 1 << 10, 1 << 20
SCHEMES = ((2, 1), (2, 2), (4, 2), (8, 3))
_STRIPES = 4


def rate(step: Callable[[], Any], size: int, rounds: int) -> float:
    """MB per second of CPU, of the median round."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        step()
        taken.append(time.process_time() - started)
    return size / statistics.median(taken) / 1e6


def pour(fd: int, path: str, header: Slice) -> None:
    """Cut a file as it is sent: a few stripes at a time, none of which is kept."""
    for first in range(0, header.stripes, _STRIPES):
        count = min(_STRIPES, header.stripes - first)
        cutting._cut(fd, path, header, first, count, set(range(header.data + header.parity)))


def cut(fd: int, path: str, header: Slice) -> dict[int, bytes]:
    """All slices of a file."""
    made: dict[int, list[bytes]] = {index: [] for index in range(header.data + header.parity)}
    for first in range(0, header.stripes, _STRIPES):
        count = min(_STRIPES, header.stripes - first)
        for index, part in cutting._cut(fd, path, header, first, count, set(made)).items():
            made[index].append(part)
    return {index: b"".join(parts) for index, parts in made.items()}


def join(header: Slice, made: dict[int, bytes]) -> int:
    """Compare and decode D of the slices; the bytes there are."""
    size = 0
    for first in range(0, header.stripes, _STRIPES):
        count = min(_STRIPES, header.stripes - first)
        start, length = header.span(first, count)
        got = {index: slices.unseal(header, first, count, body[start : start + length]) for index, body in made.items()}
        for position in range(count):
            blocks = {index: found[position] for index, found in got.items() if found is not None}
            size += sum(len(block) for block in code.decode(blocks, header.data, header.parity))
    return size


def of_pyeclib(data: int, parity: int, body: bytes, rounds: int) -> float | None:
    """The rate of ISA-L by PyECLib for pieces of the size of a stripe."""
    try:
        from pyeclib.ec_iface import ECDriver  # type: ignore[import-not-found]

        driver = ECDriver(k=data, m=parity, ec_type="isa_l_rs_vand")
    except ImportError:
        return None
    piece = data * slices.BLOCK_BYTES_MAX
    return rate(lambda: [driver.encode(body[at : at + piece]) for at in range(0, len(body), piece)], len(body), rounds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    size = arguments.mib * MIB
    body = os.urandom(size)
    head = ("D+P", "zfec encode", "cut a file", "ratio", "zfec decode", "read, 1 lost", "ratio", "read", "ISA-L")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        for data, parity in SCHEMES:
            header = Slice("ais/@#/b/o", ObjectMeta(size), (0, 0), data, parity, 0, slices.block_bytes_of(size, data))
            piece = header.stripe_bytes
            stripes = [
                [body[at + index * header.block : at + (index + 1) * header.block] for index in range(data)]
                for at in range(0, size - piece + 1, piece)
            ]
            count = len(stripes) * piece
            encode = rate(
                lambda stripes=stripes, parity=parity: [code.encode(one, parity) for one in stripes],
                count,
                arguments.rounds,
            )
            whole = rate(lambda header=header: pour(file.fileno(), file.name, header), size, arguments.rounds)
            made = cut(file.fileno(), file.name, header)
            parities = [code.encode(one, parity) for one in stripes]
            lacking = [
                {**{index: one[index] for index in range(1, data)}, data: extra[0]}
                for one, extra in zip(stripes, parities, strict=True)
            ]
            decode = rate(
                lambda lacking=lacking, data=data, parity=parity: [code.decode(one, data, parity) for one in lacking],
                count,
                arguments.rounds,
            )
            few = {index: made[index] for index in range(1, data + 1)}
            degraded = rate(lambda header=header, few=few: join(header, few), size, arguments.rounds)
            plain = rate(
                lambda header=header, made=made, data=data: join(header, {index: made[index] for index in range(data)}),
                size,
                arguments.rounds,
            )
            other = of_pyeclib(data, parity, body, arguments.rounds)
            figures = (f"{encode:.0f}", f"{whole:.0f}", f"{whole / encode:.2f}", f"{decode:.0f}", f"{degraded:.0f}")
            more = (f"{degraded / decode:.2f}", f"{plain:.0f}", f"{other:.0f}" if other else "-")
            print(f"| {' | '.join((f'{data}+{parity}', *figures, *more))} |")


if __name__ == "__main__":
    main()
