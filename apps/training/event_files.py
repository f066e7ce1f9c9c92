"""Curves as a TensorBoard event file: records with checksums around hand-written protocol buffers (no dependency).

The format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/event.proto and TFRecord framing.
"""

import struct
from functools import cache

_CASTAGNOLI = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
PREFIXES = ("train_", "dev_", "test_")


def begin(wall_time: float) -> bytes:
    """The first record of a file."""
    return _record(_double(1, wall_time) + _bytes(3, b"brain.Event:2"))


def scalar(wall_time: float, step: int, name: str, value: float) -> bytes:
    """One point of a curve; dev_loss becomes dev/loss, so that TensorBoard groups by split."""
    prefix = next((one for one in PREFIXES if name.startswith(one)), "")
    tag = f"{prefix[:-1]}/{name.removeprefix(prefix)}" if prefix else name
    point = _bytes(1, tag.encode()) + struct.pack("<Bf", 2 << 3 | 5, value)
    return _record(_double(1, wall_time) + _varint(2 << 3) + _varint(step) + _bytes(5, _bytes(1, point)))


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _table()[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def _double(field: int, value: float) -> bytes:
    return struct.pack("<Bd", field << 3 | 1, value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


@cache
def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        for _bit in range(8):
            byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
        rows.append(byte)
    return tuple(rows)
