"""The backup dies and stays dead for a while: the primary goes on alone, says so, and takes it in again."""

from __future__ import annotations

from tests.process.running_cluster import RunningCluster
from tests.process.verdict import Journal
from tests.process.wire_client import Clients, ack, sol

CLUSTER = ("--faculties", 0, "--profile", "slow")


def test_the_primary_goes_on_alone_when_the_backup_dies_and_says_so(
    healed: RunningCluster, clients: Clients, journal: Journal, term: str
) -> None:
    primary, backup = healed.active(), healed.passive()
    client = clients.dealer(primary["requests"])
    before, between = sol(term, 7, 2), sol(term, 7, 2)
    client.ask(before)
    both = journal.saw(before["faculty_id"], client.ask(ack(before)))
    assert both["recibo"]["copias"] == 2
    healed.kill(backup["pid"])
    client.ask(between)  # waits until the primary is allowed to go on alone
    alone = journal.saw(between["faculty_id"], client.ask(ack(between)))
    assert (alone["status"], alone["recibo"]["copias"]) == ("ACCEPTED", 1)
    assert journal.saw(before["faculty_id"], client.ask(before))["recibo"]["copias"] == 1, "today's number"
    assert healed.active()["in_sync"] == [primary["name"]]

    healed.start_process("server", backup["name"])
    healed.wait_in_sync()
    again = journal.saw(between["faculty_id"], client.ask(between))
    assert again["recibo"]["copias"] == 2
    assert healed.active()["name"] == primary["name"]
