"""What the proof cannot show, however long it runs."""

from __future__ import annotations

from typing import Final

LIMITS: Final = """\
- **That the disk keeps what it has flushed.** The file system under test lies on a loop device, which keeps every
  block that the kernel flushes. A drive that acknowledges a flush and holds it in a cache without a battery can
  lose what was acknowledged. Two drives that do so at the same moment can lose a confirmed allocation; one is made
  good by the other server, which notices.
- **That the kernel knows what it has flushed.** An ext4 that met an error while a file was growing answered
  fdatasync with success though it had thrown the file's new end away (Linux 6.18; in 28 of 100 trials of a process
  that only appended and flushed). A log no longer depends on that answer: it grows ahead by zeros whose durability a
  change of the directory proves, and then writes over them, which needs no journal. Of file systems that put
  elsewhere what is written over (btrfs, a reflinked XFS) nothing is shown; there, pages that are lost would be found
  when the server starts, and it is rebuilt from the other.
- **Real power.** A cut here stops a file system at an instant. Voltage that sags while a controller writes, a
  sector that is half written, firmware that needs its own repair: none of that is met.
- **More than one kernel.** Three hosts are three network namespaces of one kernel, on one machine with one memory.
  Faults that two machines share (a switch, a rack, a rollout of the same kernel) or do not share (differing
  drivers) are outside.
- **Clocks.** Wall clocks are moved by an hour and nothing depends on them. The boot clock is believed: leased reads
  (R7) need that it runs on each host at about the same rate as on the others. A host whose boot clock stands still
  or runs at half speed, as some hypervisors have let happen, is not tried.
- **Servers that lie.** A server is slow, silent, dead or damaged here, never malicious: there is no Byzantine
  fault. Who can write to a server's data directory can change the past; checkpoints that the other nodes keep show it,
  unless he controls those too and nobody has saved one elsewhere. Who has the server's signing key, or its process,
  signs what he likes from then on; what others kept before still holds.
- **The network as an enemy.** Every connection is encrypted and belongs to a key (CURVE); what strangers and peers in
  others' names are told is tested on every port, not counted here. Who has a faculty's key speaks for that faculty.
  Hostile frames are drawn by a grammar and from those that reached something new; who attacks chooses his.
- **The checker itself.** What it does not look for it does not find. Mutants and controls show that it finds what
  they break; a rule that is missing from the checker and from the protocol at once is missed by both.
- **The specification.** Every run asks whether the system does what was specified, none whether that is what a
  university needs.
- **Independence.** The bounds hold for runs drawn like these. Real failures come in bursts, with causes in common,
  under loads that nobody drew.
- **Years.** The longest run lasts hours. What takes months (a disk that fills, a counter that ends, memory that
  creeps away) is bounded in the code and in tests, not here.
- **What has no count here.** Floods, refused starts and full disks under a running server
  are cases of the ordinary tests: each holds or does not, and says nothing of a rate. So is that a log of every older
  format comes to what it came to: so far there is one format, of which a log is kept. Two versions of the program side
  by side in one cluster are not tried.
"""
"""In Markdown, a paragraph each."""
