"""The first thing inside a sandboxed process: takes away what a program must not have, runs it, says how it ended.

Run by its path with `python -I -S`, so it knows the standard library only. Arguments: the file descriptor to report to,
a secret word, processor seconds, bytes of memory. The program is ./program.py.
"""

import ctypes
import json
import math
import os
import resource
import signal
import struct
import sys
import sysconfig
import types
from typing import Any

FILE_BYTES = 1_000_000
OPEN_FILES = 64
TASKS = 64  # threads of the program, where they can be counted
CHANGES = 100  # files opened for writing, folders, links ...: bounds what a program can leave on the disk for a while
DETAIL_CHARACTERS = 300

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 38, 22, 2
EPERM, ENOSYS = 1, 38
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on every architecture
LANDLOCK_READ = 0b1101  # execute (to map a library), read a file, list a folder

# Numbers of the calls that are refused, per machine: (audit name, clone, clone3, socketpair, [the rest]). The rest: socket,
# connect, bind, listen, accept, accept4, fork, vfork, execve, execveat, kill, tkill, tgkill, rt_sigqueueinfo,
# rt_tgsigqueueinfo, pidfd_send_signal, pidfd_getfd, ptrace, process_vm_readv, process_vm_writev, prlimit64, unshare, setns,
# mount, umount2, pivot_root, chroot, move_mount, fsopen, mount_setattr, open_tree, open_by_handle_at, bpf, perf_event_open,
# io_uring_setup, userfaultfd, keyctl, add_key, request_key, reboot, kexec_load, init_module, finit_module.
CALLS: dict[str, tuple[int, int, int, int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E, 56, 435, 53,
        (41, 42, 49, 50, 43, 288, 57, 58, 59, 322, 62, 200, 234, 129, 297, 424, 438, 101, 310, 311, 302, 272, 308, 165, 166,
         155, 161, 429, 430, 442, 428, 304, 321, 298, 425, 323, 250, 248, 249, 169, 246, 175, 313),
    ),
    "aarch64": (
        0xC00000B7, 220, 435, 199,
        (198, 203, 200, 201, 202, 242, 221, 281, 129, 130, 131, 138, 240, 424, 438, 117, 270, 271, 261, 97, 268, 40, 39,
         41, 51, 429, 430, 442, 428, 265, 280, 241, 425, 282, 219, 217, 218, 142, 104, 105, 273),
    ),
}  # fmt: skip

NEVER = (
    "ctypes.", "os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.spawn", "os.system",
    "pty.spawn", "resource.", "signal.pthread_kill", "socket.", "subprocess.Popen", "syslog.",
)  # fmt: skip
ON_FILES = (
    "os.chdir", "os.chflags", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.removexattr", "os.rename",
    "os.rmdir", "os.setxattr", "os.symlink", "os.truncate", "os.utime",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def limits(seconds: float, memory_bytes: int) -> None:
    """Bounds of the kernel on processor time, memory, files and core dumps."""
    processor = math.ceil(seconds)
    for what, soft, hard in (
        (resource.RLIMIT_CPU, processor, processor + 1),
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_FSIZE, FILE_BYTES, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))


def die_with_parent(libc: Any) -> None:
    """Ask Linux for SIGKILL when the thread that waits for us is gone, for nobody would end the program then."""
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def no_more_rights(libc: Any) -> bool:
    """Give up what set-user-id programs could give: the kernel's condition for rules made by an ordinary user."""
    return hasattr(libc, "prctl") and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0


def own_namespaces(libc: Any) -> bool:
    """A user namespace, whose processes cannot look into those outside, and a network without any device."""
    return hasattr(libc, "unshare") and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0


def readable_places() -> list[str]:
    """The standard library, the shared libraries it loads, and devices that give nothing away."""
    found = [sysconfig.get_path("stdlib"), *sys.path, os.path.join(sys.base_prefix, "lib")]
    found += ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom"]
    return [os.path.realpath(place) for place in found if os.path.exists(place)]


def only_these_files(libc: Any, folder: str, readable: list[str]) -> bool:
    """Landlock: reading below `readable`, anything below `folder`, nothing elsewhere; False where the kernel has none."""
    if not hasattr(libc, "syscall") or not no_more_rights(libc):
        return False
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    known = (1 << min(15, 12 + version)) - 1  # kinds of access: 13 at first, then moving between folders and truncation
    handled = struct.pack("Q", known)
    rules = libc.syscall(LANDLOCK_CREATE, handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        return False
    for place, wanted in [(folder, known), *((place, LANDLOCK_READ) for place in readable)]:
        at = os.open(place, os.O_PATH | os.O_CLOEXEC)
        allowed = wanted if os.path.isdir(place) else wanted & 0b101
        added = libc.syscall(LANDLOCK_ADD, rules, 1, struct.pack("=Qi", allowed, at), 0)
        os.close(at)
        if added != 0:
            return False
    done: bool = libc.syscall(LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return done


def call_filter() -> bytes:
    """The seccomp filter as its array of instructions (code, jump if true, jump if false, value); empty if unknown here."""
    if os.uname().machine not in CALLS:
        return b""
    audit, clone, clone3, socketpair, refused = CALLS[os.uname().machine]
    load, equal, at_least, any_bit, mask, give = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
    allow, refuse, absent, kill = 0x7FFF0000, 0x50000 | EPERM, 0x50000 | ENOSYS, 0x80000000
    steps = [(load, 0, 0, 4), (equal, 1, 0, audit), (give, 0, 0, kill)]  # another machine's calls: end it
    steps += [(load, 0, 0, 0), (at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # x32 numbers
    for number in refused:
        steps += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    steps += [(equal, 0, 1, clone3), (give, 0, 0, absent)]  # its flags lie in memory; the C library then takes clone
    steps += [(equal, 0, 4, clone), (load, 0, 0, 16), (any_bit, 0, 1, 0x10000)]  # threads, no processes
    steps += [(give, 0, 0, allow), (give, 0, 0, refuse)]
    steps += [(equal, 0, 5, socketpair), (load, 0, 0, 24), (mask, 0, 0, 0xF), (equal, 0, 1, 1)]  # streams: event loops
    steps += [(give, 0, 0, allow), (give, 0, 0, refuse), (give, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def only_these_calls(libc: Any) -> bool:
    """Seccomp: no process, program, socket, signal, mount or look into others; False where the kernel has none."""
    steps = call_filter()
    if not steps or not no_more_rights(libc):
        return False
    array = ctypes.create_string_buffer(steps, len(steps))
    program = struct.pack("HxxxxxxQ", len(steps) // 8, ctypes.addressof(array))
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0)


class Watch:
    """The interpreter's own audit: the same rules as the kernel's where that lacks them, and a sentence that says which."""

    def __init__(self, folder: str, readable: list[str]) -> None:
        self.folder, self.readable, self.changes = folder, (folder, *readable), 0

    def __call__(self, event: str, values: tuple[Any, ...]) -> None:
        if event == "open":
            writing = isinstance(values[2], int) and bool(values[2] & WRITING)
            self.path(event, values[0], writing=writing)
        elif event in ("os.listdir", "os.scandir"):
            self.path(event, values[0], writing=False)
        elif event in ON_FILES:
            for value in values[:2]:
                self.path(event, value, writing=True)
        elif event.startswith(NEVER) and not (event == "socket.__new__" and values[1] == 1):  # 1: AF_UNIX, of a pair
            raise PermissionError(EPERM, f"{event} is not allowed here")

    def path(self, event: str, value: Any, *, writing: bool) -> None:
        if not isinstance(value, str | bytes | os.PathLike):
            return  # something already open, or no path
        place = os.path.realpath(os.fsdecode(value))
        self.changes += writing
        if self.changes > CHANGES:
            raise PermissionError(EPERM, "too many files are written here")
        homes = (self.folder,) if writing and place != "/dev/null" else self.readable
        if not any(place == home or place.startswith(home + os.sep) for home in homes):
            raise PermissionError(EPERM, f"{event} outside the folder is not allowed here", os.fsdecode(value))


def ending(error: BaseException) -> str:
    """The name of how a program ended, by what it raised."""
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (AssertionError, "wrong"),
        (MemoryError, "memory"),
        (PermissionError, "refused"),
        (SystemExit, "left"),
    )
    return next((name for kind, name in kinds if isinstance(error, kind)), "error")


def run(source: bytes) -> tuple[str, str]:
    """(how it ended, in short what was raised) of a program that runs as the module __main__."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        exec(compile(source, "program.py", "exec"), module.__dict__)  # noqa: S102  # this is what the process is for
    except BaseException as error:  # noqa: BLE001  # whatever it raises is its result
        return ending(error), f"{type(error).__name__}: {error}"[:DETAIL_CHARACTERS]
    return "passed", ""


def main() -> None:
    to, secret, seconds, memory = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    sys.argv = ["program.py"]
    folder = os.path.realpath(os.getcwd())
    with open("program.py", "rb") as file:
        source = file.read()
    libc, readable = ctypes.CDLL(None, use_errno=True), readable_places()
    spaces = own_namespaces(libc)
    die_with_parent(libc)
    limits(seconds, memory)
    if spaces:  # the count starts afresh there; elsewhere it would be of all that this user runs
        resource.setrlimit(resource.RLIMIT_NPROC, (TASKS, TASKS))
    files, calls = only_these_files(libc, folder, readable), only_these_calls(libc)
    if not calls:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    held = {"namespaces": spaces, "files": files, "calls": calls}
    sys.addaudithook(Watch(folder, readable))
    os.write(to, (json.dumps({"layers": ["limits", *(name for name in held if held[name]), "audit"]}) + "\n").encode())
    end, detail = run(source)
    os.write(to, (json.dumps({"secret": secret, "end": end, "detail": detail}) + "\n").encode())
    os._exit(0)  # no exit handler and no thread of the program comes after its result


if __name__ == "__main__":
    main()
