"""Opening a file as a stream of unpacked bytes, guarded against damage and against archives made to explode."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from apps.datasets.formats.encodings import Utf8Stream
from apps.datasets.formats.options import Limits, ReadOptions
from apps.datasets.formats.problems import FileProblem
from words import say

RATIO_GRACE_BYTES = 16_000_000
_CHUNK = 256 * 1024


class _Guard:
    """Counts what comes out against what went in."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.unpacked = 0

    def check(self, added: int, packed: int) -> None:
        self.unpacked += added
        if self.unpacked > self.limits.max_unpacked_bytes:
            raise FileProblem(
                "unpacked_too_large",
                say(
                    "The file unpacks to more than {max_unpacked_bytes:,} bytes. Split it into smaller files.",
                    max_unpacked_bytes=self.limits.max_unpacked_bytes,
                ),
            )
        if self.unpacked > RATIO_GRACE_BYTES and self.unpacked > self.limits.max_ratio * max(packed, 1):
            raise FileProblem(
                "compression_bomb",
                say(
                    "The file unpacks to more than {max_ratio} times its size, as no text does. Unpack it yourself and upload the content.",
                    max_ratio=self.limits.max_ratio,
                ),
            )


class GzipStream(io.RawIOBase):
    """Unpacks gzip (several members too); what came before damage is given out, then FileProblem is raised."""

    def __init__(self, packed: IO[bytes], limits: Limits) -> None:
        super().__init__()
        self._packed, self._guard, self._read = packed, _Guard(limits), 0
        self._decoder = zlib.decompressobj(wbits=31)
        self._input, self._begun, self._damaged = b"", False, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._damaged:
                raise FileProblem(
                    "damaged_gzip", say("The gzip file is damaged (a checksum or block is wrong). Upload it again.")
                )
            if not self._input:
                self._input = self._packed.read(_CHUNK)
                self._read += len(self._input)
            if not self._input:
                if not self._decoder.eof and self._begun:
                    raise FileProblem(
                        "truncated_gzip", say("The gzip file ends too early: it was cut off. Upload it again.")
                    )
                return 0
            if self._decoder.eof:
                if not self._input.strip(b"\0"):  # padding after the last member
                    self._input = b""
                    continue
                self._decoder = zlib.decompressobj(wbits=31)
            self._begun = True
            given = self._unpack(len(buffer))
            if given:
                self._guard.check(len(given), self._read)
                buffer[: len(given)] = given
                return len(given)

    def _unpack(self, wanted: int) -> bytes:
        before = self._decoder.copy()
        try:
            given = self._decoder.decompress(self._input, wanted)
        except zlib.error:
            self._damaged = True
            return _until_damage(before, self._input, wanted)
        self._input = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
        return given


def _until_damage(decoder: Any, packed: bytes, wanted: int) -> bytes:
    """What can be unpacked before the damaged byte, fed byte by byte."""
    parts, size = [], 0
    for at in range(len(packed)):
        try:
            part = decoder.decompress(packed[at : at + 1], wanted - size)
        except zlib.error:
            break
        parts.append(part)
        size += len(part)
        if size >= wanted:
            break
    return b"".join(parts)


class ZipMemberStream(io.RawIOBase):
    """One member of a zip, counted against the limits."""

    def __init__(self, member: IO[bytes], packed_bytes: int, limits: Limits) -> None:
        super().__init__()
        self._member, self._packed_bytes, self._guard = member, packed_bytes, _Guard(limits)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            given = self._member.read(len(buffer))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise FileProblem("damaged_zip", say("The zip file is damaged. Upload it again.")) from error
        self._guard.check(len(given), self._packed_bytes)
        buffer[: len(given)] = given
        return len(given)


def single_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file inside a zip; folders and the resource forks of macOS do not count."""
    members = [i for i in archive.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        raise FileProblem(
            "zip_members",
            say(
                "The zip holds {members_count} files. Upload a zip with exactly one, or each file by itself.",
                members_count=len(members),
            ),
        )
    if members[0].flag_bits & 0x1:
        raise FileProblem("zip_encrypted", say("The zip is protected by a password. Unpack it and upload the content."))
    return members[0]


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive; a broken directory is a FileProblem."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise FileProblem("damaged_zip", say("The zip file is damaged or cut off. Upload it again.")) from error
    with archive:
        yield archive


@contextmanager
def open_source(path: Path, compression: str, limits: Limits) -> Iterator[io.BufferedReader]:
    """The unpacked bytes of `path`; only an uncompressed one can seek."""
    with ExitStack() as stack:
        raw: io.RawIOBase
        if compression == "gzip":
            raw = GzipStream(stack.enter_context(path.open("rb")), limits)
        elif compression == "zip":
            archive = stack.enter_context(open_zip(path))
            info = single_member(archive)
            _Guard(limits).check(info.file_size, info.compress_size)  # what lies here is found out while it unpacks
            try:
                member = stack.enter_context(archive.open(info))
            except (zipfile.BadZipFile, NotImplementedError) as error:
                raise FileProblem("damaged_zip", say("The zip file is damaged. Upload it again.")) from error
            raw = ZipMemberStream(member, info.compress_size, limits)
        else:
            yield stack.enter_context(path.open("rb"))
            return
        yield io.BufferedReader(raw, _CHUNK)


@contextmanager
def open_lines(path: Path, options: ReadOptions) -> Iterator[io.BufferedReader]:
    """A stream whose lines end in one byte 0x0A: UTF-16 is turned into UTF-8, other encodings stay as they are."""
    with open_source(path, options.compression, options.limits) as source:
        if options.encoding.startswith("utf-16"):
            yield io.BufferedReader(Utf8Stream(source, options.encoding), _CHUNK)
        else:
            yield source


@contextmanager
def open_utf8(path: Path, options: ReadOptions) -> Iterator[io.BufferedReader]:
    """The file as UTF-8 bytes without a byte order mark, whatever its encoding."""
    with open_source(path, options.compression, options.limits) as source:
        yield io.BufferedReader(Utf8Stream(source, options.encoding), _CHUNK)


def skip_to(stream: io.BufferedReader, offset: int) -> None:
    """Go to `offset`: seek where possible, else read and throw away."""
    if offset and stream.seekable():
        stream.seek(offset)
        return
    while offset > 0:
        skipped = stream.read(min(offset, _CHUNK))
        if not skipped:
            return
        offset -= len(skipped)


def codec_name(encoding: str) -> str:
    """The Python codec that decodes a single line of a stream from `open_lines`."""
    return "utf-8" if encoding.startswith("utf") else encoding
