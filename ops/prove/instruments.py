"""Every instrument of the proof: what it does to the system, what must hold, how often, what it sees and what not."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

AULARIO: Final = "aulario"
PYTHON: Final = "python"
COUNT: Final = "{count}"
SIMULATOR: Final = ("ops.cli", "ops.sim.command")


@dataclass(slots=True, frozen=True)
class Instrument:
    """`words` is its command as a person types it, `count` how often the full proof has it run. One that is not
    `seeded` counts its own seeds, from 0; where `drawn` is not so, runs are different cases and no sample.
    `tried` goes on behind the number of runs and their unit. `bound_of` says what the runs are a sample of, where that
    is not plain. `least` is how often the shortest pass has it run. `modules` is what it runs, if that starts
    nothing else of ours: then its result is one of these and of what they import, and stands while those do."""

    name: str
    words: tuple[str, ...]
    count: int
    unit: str
    tried: str
    fault: str
    holds: str
    sees: str
    blind: str
    seeded: bool = True
    drawn: bool = True
    bound_of: str = ""
    least: int = 1
    modules: tuple[str, ...] = ()

    def typed(self, count: int, seed: int | None) -> tuple[str, ...]:
        """Its command for so many runs."""
        words = [word.replace(COUNT, str(count)) for word in self.words]
        return (*words, *(("--seed", str(seed)) if seed is not None else ()))

    def argv(self, count: int, seed: int | None) -> tuple[str, ...]:
        """What to start for that, with this interpreter and this code; one JSON object on stdout."""
        program, *rest = self.typed(count, seed)
        start = (sys.executable, "-m", "ops.cli") if program == AULARIO else (sys.executable,)
        return (*start, *rest, "-o", "json")


def _prove(module: str, option: str = "--count") -> tuple[str, ...]:
    return (PYTHON, "-m", f"ops.prove.{module}", option, COUNT)


def _drill(fault: str) -> tuple[str, ...]:
    return (AULARIO, "drill", fault, "--cycles", COUNT)


_EVERY = (
    Instrument(
        "power_cuts", _prove("power_cuts"), 200, "cuts",
        "of the power of its disk while it wrote",
        "the power goes while a server writes its log",
        "every acknowledged write is there, byte for byte, and nothing that was never written",
        "what a real kernel and a real file system do with writes that were not flushed yet",
        "a disk that keeps less than it says: the loop device underneath keeps every flushed block",
    ),
    Instrument(
        "crash_states", _prove("crash_states"), 100_000, "states",
        "that a crash may leave behind, in which its log was opened",
        "a crash between any two calls, with writes torn at sectors and kept or lost in any combination",
        "the log opens, is whole, and holds every acknowledged write",
        "states of the file that no power cut happens to leave in years",
        "what the model does not allow: sectors that are torn within, flushed blocks that vanish",
        bound_of="states; each 1 000 come from one recorded history, so they are not independent, and of histories the "
        "bound is a thousand times as high",
    ),
    Instrument(
        "damaged_files", _prove("damaged_files"), 1_000, "files",
        "of its own, damaged on purpose",
        "bit flips, truncation, zeroed or swapped pages, old pages back",
        "found before anything is served, or nothing that is served differs from what was written",
        "whether the chain of hashes and the numbered last write find what the storage engine does not",
        "damage that arises while the server runs, in pages it has read already",
        bound_of="a mixture of all kinds of damage in equal shares; each kind has its own bound in its table",
    ),
    Instrument(
        "tampering", _prove("tampering"), 1_000, "logs",
        "that somebody had altered, cut or put back on purpose",
        "a log is altered, cut short, rolled back or exchanged; also by hands that compute every hash anew",
        "`aulario log verify` says so, and between which sequence numbers",
        "whether signed checkpoints that others keep find what the chain of hashes cannot, for anybody can compute it",
        "hands that have the server's signing key, and events after the last checkpoint that is kept",
        bound_of="a mixture of six deeds by two kinds of hands in equal shares; each has its own bound in its table",
        least=12,
    ),
    Instrument(
        "failing_calls", _prove("failing_calls"), 400, "writers",
        "of its log, each with a call to the operating system that failed, stalled or was its last",
        "a system call of the writer fails (EIO, ENOSPC, EROFS), stalls or is its last",
        "the writer stops and says why; the log is sound and holds every acknowledged write",
        "every path out of a failed write, flush or creation",
        "calls that fail for some of their bytes and claim all",
    ),
    Instrument(
        "failing_disks", _prove("failing_disks"), 200, "disks",
        "that filled up or turned read-only under it",
        "the disk fills up, or turns read-only",
        "the writer stops, nothing acknowledged is lost, and it goes on once there is room",
        "the file system's own way of failing",
        "a disk that fails under many processes at once",
    ),
    Instrument(
        "hostile_frames", _prove("hostile_frames"), 1_000_000, "frames",
        "that no peer should send, for every decoder, and a tenth as many to the ports of a running cluster",
        "frames that break the protocol: wrong types, extreme numbers, nests, promised lengths, keys twice, bytes "
        "changed, cut, spliced",
        "refused by name, counted or answered, for no more memory and work than their size justifies; processes, "
        "memory and log stay as they were, and polite peers are served",
        "mistakes in what reads the bytes of others, wherever the lines that a frame runs lead",
        "mistakes that only many whole messages in some order bring about; work within a library's C, in time",
        bound_of="frames as a grammar and changes of its frames draw them: who attacks does not draw",
        least=3_000,  # the crafted ones that come first, and as many others
    ),
    Instrument(
        "failing_servers", _prove("failing_servers"), 56, "faults",
        "of a disk, which failed or hung under one of its servers",
        "the disk of a server of a running cluster fails, hangs or takes it along",
        "the server ends or gives its role away; the other serves; no result is lost or given twice",
        "the whole way from a failed flush to a client's next result",
        "both disks failing at once",
        bound_of="a mixture of faults of the active and of the other server in equal shares",
    ),
    Instrument(
        "kill_primary", _drill("kill-primary"), 300, "kills",
        "of its leading server under load",
        "the primary is killed (SIGKILL) under load",
        "the backup serves; every open request gets its one result",
        "real processes, sockets, caches and client libraries, measured where it counts: at the clients",
        "the page cache survives a killed process: what a flush is worth is for the power cuts to tell",
    ),
    Instrument(
        "freeze", _drill("freeze"), 20, "freezes",
        "of that server",
        "the primary is frozen for three seconds (SIGSTOP), then goes on",
        "the backup serves; nothing that the old primary says afterwards counts",
        "what a garbage collection, a paused virtual machine or a hanging host would do",
        "freezes that end just as somebody takes over; the links' drawn pauses and the simulator meet those",
    ),
    Instrument(
        "partition", _drill("partition"), 20, "partitions",
        "that cut it off from the others",
        "the primary is cut off from all but the clients beside it",
        "the backup serves; the clients beside the old primary get no result",
        "a minority that believes it leads",
        "cuts that lose single packets: those are made among the links",
    ),
    Instrument(
        "rolling_restart", _drill("rolling-restart"), 10, "rounds",
        "of restarts under load, of every process in turn",
        "every process in turn is ended (SIGTERM) and started again under load, each once all are in sync",
        "each ends well; no request is lost, doubled or left without its result",
        "what an update of the software does to clients, and how long each kind of process is missed",
        "a switchover: there is none, the backup takes over from the primary as after its death; two versions at once",
    ),
    Instrument(
        "scarcity", _prove("scarcity"), 180, "shortages",
        "of processor, memory or descriptors, for one of its processes under load",
        "a process has a fifth of the time (stopped for 80 of every 100 ms), no more memory than it has (RLIMIT_DATA), "
        "or no descriptor left (RLIMIT_NOFILE), for seconds, while new clients arrive",
        "service goes on, or the process ends and another one serves; the normal pace comes back; nothing lost, double "
        "or stale",
        "every path that asks the system for something and is told that there is none",
        "a kernel that kills for want of memory (that is a kill); hosts that are short of everything at once; a quota "
        "of a control group, which counts the time of threads and is milder",
        bound_of="a mixture of all resources and kinds of process in equal shares; each has its own bound in its table",
        least=18,  # each resource for each kind of process
    ),
    Instrument(
        "links", _prove("links", "--repeat"), 20, "trials",
        "in which its links were cut or disturbed, its processes stopped or its clocks moved",
        "every link cut, also one way; flapping, loss, delay, duplicates; processes paused and killed at system "
        "calls; wall clocks an hour off",
        "at most one primary; a minority gets no result; nothing lost, double or stale; afterwards equal logs",
        "three hosts (network namespaces) with real TCP in real time, and at what moment who took over",
        "more than one kernel; links that pass some bytes of a packet wrongly",
        bound_of="a mixture of all topologies in equal shares; each topology has its own bound in its table",
    ),
    Instrument(
        "mutants", (AULARIO, "sim", "--mutants", "--seeds", COUNT), 2_000, "mutants",
        "of it, each with one rule broken on purpose, to see whether that is noticed",
        "one rule of the protocol is broken on purpose",
        "the simulator or a directed schedule finds it",
        "whether the checker would notice at all",
        "mistakes that nobody thought of making on purpose",
        seeded=False,
        drawn=False,
        least=200,  # a mutant of which the first seeds know nothing would pass for one that nobody finds
        modules=SIMULATOR,
    ),
    Instrument(
        "sim", (AULARIO, "sim", "--seeds", COUNT), 50_000, "schedules",
        "of failures, simulated",
        "crashes, pauses, cuts, loss, reordering, failing and lying disks, in orders drawn from seeds",
        "every invariant after every step, and service again once all is healed",
        "orders of events that no real cluster meets in years, each repeatable to the byte",
        "sockets, the operating system, the storage engine: it runs the decisions, not their surroundings",
        seeded=False,
        modules=SIMULATOR,
    ),
)  # fmt: skip

INSTRUMENTS: Final = {instrument.name: instrument for instrument in _EVERY}
"""By name, in the order in which they run: quick ones first."""
