"""Disks that can be made to fail: an ext4 in a file that loses its power, a small one that fills up."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.cluster import undisturbed
from ops.prove.orphans import is_gone
from ops.prove.outcome import NotPermitted

PREFIX = "aulario-prove-"
EXT4_IOC_SHUTDOWN = 0x8004587D
EXT4_GOING_FLAGS_NOLOGFLUSH = 2
"""Stop at once: neither cached pages nor the journal reach the disk any more."""

FSCK_REPAIRED = 1
"""e2fsck's exit status up to which the file system is sound afterwards."""

LOOP_DISK_BYTES = 32 << 20


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory, if there is one, that is gone afterwards; what killed processes left goes first."""
    around = _around()
    _remove_orphans(around)
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=around))
    try:
        yield directory
    finally:
        with undisturbed():
            _remove(directory)


def _around() -> Path:
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else Path(tempfile.gettempdir())


def _remove_orphans(around: Path) -> None:
    """What processes that no longer run have left; names carry the id of the process that made them."""
    for path in around.glob(f"{PREFIX}*-*"):
        pid = path.name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and is_gone(pid):
            _remove(path)


def _remove(directory: Path) -> None:
    """Together with the disks that are still mounted in it. Nothing if it is another user's."""
    mounts = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    for mount in mounts:
        if mount.is_relative_to(directory):
            subprocess.run(["umount", mount], check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


class LoopDisk:
    """An ext4 on a loop device. Unmounting after `cut_power` forgets whatever had not reached the device;
    mounting again replays the journal, as a host does that comes back. What is mounted again is a copy of the
    image: a process that has a mount namespace of its own may keep the first one, shut down, in the kernel."""

    def __init__(self, directory: Path) -> None:
        """Make it in `directory`; not mounted yet. NotPermitted if its tools are missing."""
        self.image = directory / "ext4.image"
        self.path = directory / "disk"
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(LOOP_DISK_BYTES)
        if shutil.which("mkfs.ext4") is None:
            raise NotPermitted("a disk to cut the power of is made with mkfs.ext4, which is not installed")
        subprocess.run(["mkfs.ext4", "-q", "-F", "-e", "remount-ro", self.image], check=True, capture_output=True)

    def mount(self) -> None:
        """Replay the journal and mount. NotPermitted if this process may not."""
        _mount("-o", "loop", self.image, self.path)

    def unmount(self) -> None:
        """Nobody may have a file open there."""
        subprocess.run(["sync", "-f", self.path], check=False, stderr=subprocess.DEVNULL)  # a disk without power cannot
        subprocess.run(["umount", self.path], check=True)
        used = self.image.rename(self.image.with_suffix(".used"))
        shutil.copyfile(used, self.image)
        used.unlink()

    def cut_power(self) -> None:
        """From now on nothing reaches the device; every call that wants to fails."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", EXT4_GOING_FLAGS_NOLOGFLUSH))
        finally:
            os.close(fd)

    def repair(self) -> None:
        """Clear the mark of an error, as an operator does before mounting again. Not while mounted."""
        done = subprocess.run(["e2fsck", "-fy", self.image], capture_output=True, text=True, check=False)
        assert done.returncode <= FSCK_REPAIRED, done.stdout

    def turn_read_only(self) -> None:
        """What ext4 does when it meets an error: nobody may write any more, files open to be written included."""
        device = os.stat(self.path).st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        try:
            Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("proof")
        except OSError as error:
            raise NotPermitted(f"a file system cannot be made to fail here: {error}") from None


@contextmanager
def mounted(disk: LoopDisk) -> Iterator[Path]:
    """The disk's root while it is mounted; it is unmounted whatever happens."""
    disk.mount()
    try:
        yield disk.path
    finally:
        with undisturbed():
            disk.unmount()


@contextmanager
def small_disk(directory: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of so many kilobytes, mounted in `directory` (made too)."""
    directory.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", directory)
    try:
        yield directory
    finally:
        with undisturbed():
            subprocess.run(["umount", directory], check=True)
            directory.rmdir()


def grow(small: Path, kilobytes: int) -> None:
    """Give a small disk more room."""
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", small], check=True)


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPermitted(f"mounting is not permitted here: {done.stderr.strip()}")
