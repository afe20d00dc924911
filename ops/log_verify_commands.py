"""`aulario log verify` and `aulario log checkpoint`: is a log whole, and what was signed? And what to keep to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nodes.security.keys import PublicKeys
from ops.checkpoint_evidence import evidence
from ops.checkpoint_text import to_plain
from ops.exits import INTEGRITY, OK, REFUSED, Stopped
from ops.log_reader import LOG_DIRECTORY, config_beside, opened, survive_damage
from ops.log_verification import Verification, verified
from ops.options import FILE_THERE
from ops.output import JSON, TABLE, count, output_option, print_json, print_rows
from ops.public_key_file import PUBLIC_KEY_FILE
from ops.streams import telling


@click.command()
@click.argument("data_dir", type=LOG_DIRECTORY)
@click.option("--against", type=FILE_THERE, multiple=True, help="A checkpoint saved with aulario log checkpoint.")
@click.option("--key", "keys", type=PUBLIC_KEY_FILE, multiple=True, help="A public key file, besides the allow-list.")
@output_option(TABLE, JSON)
def verify(data_dir: Path, against: tuple[Path, ...], keys: tuple[PublicKeys, ...], output: str) -> None:
    """Check the whole log: pages, hash chain, encoding, order; and hold it against signed checkpoints.

    Checkpoints lie beside the log, and with the other servers and the witness where their directories are on this
    host. One that was saved elsewhere (--against) convicts even whoever controls all of them. What was altered after
    the last checkpoint cannot be shown: its number is told.

    Exit code 4 if the log is damaged, gone or not what was signed, or a saved checkpoint is forged; 1 if that it is
    what was signed is not shown: no signature of a known key speaks of it (but for a cluster without keys), or one of
    an unknown key of what comes after; a saved checkpoint proves nothing about it (of another cluster, signed with a
    key that is not known, or beyond the log's end); the configuration beside it is of another cluster; a file of
    checkpoints is damaged, as by a power cut or by who wants nothing to speak of the log.

    \b
    Examples:
      aulario log verify cluster/server-a
      aulario log verify cluster/server-a --against saved.json --key server-a.toml
    """
    config = config_beside(data_dir)
    found = evidence(data_dir, config, against, keys)
    verification = verified(data_dir, config, found)
    outcome, exit_code = _outcome(data_dir, verification)
    with telling(outcome, exit_code):
        if output == JSON:
            print_json(_facts(verification))
        else:
            _print_verification(verification)
    if exit_code != OK:
        raise Stopped(outcome, exit_code)


@click.command()
@click.argument("data_dir", type=LOG_DIRECTORY)
@output_option(JSON, TABLE)
def checkpoint(data_dir: Path, output: str) -> None:
    """Print the newest signed checkpoint of a server: keep it where whoever could alter the logs cannot reach it.

    \b
    Example:
      aulario log checkpoint cluster/server-a > saved.json
    """
    survive_damage(data_dir)
    config = config_beside(data_dir)
    found = evidence(data_dir, config)
    with opened(data_dir) as node_log:
        node = node_log.identity.node
    signed = [one for one in found.genuine() or found.held if one.checkpoint.node == node]
    if not signed:
        raise Stopped(f"server {node} has signed no checkpoint of the log in {data_dir}", REFUSED)
    newest = max(signed, key=lambda one: one.checkpoint.seq)
    plain = to_plain(newest, found.key_of(newest))
    print_rows([plain], tuple(plain), output)


def _outcome(data_dir: Path, verification: Verification) -> tuple[str, int]:
    """What it comes to, in one sentence, and the exit status."""
    if verification.findings:
        return f"the log in {data_dir} is not what was signed", INTEGRITY
    if verification.forged:
        return verification.forged[0], INTEGRITY
    if verification.unproven:
        return verification.unproven[0], REFUSED
    if verification.damaged:
        return f"evidence of the log in {data_dir} is damaged: {verification.damaged[0]}", REFUSED
    return f"the log in {data_dir} is whole", OK


def _facts(verification: Verification) -> dict[str, Any]:
    report = verification.report
    return {
        "batches": report.batches,
        "events": report.events,
        "batch_bytes": report.batch_bytes,
        "head_seq": report.head.seq,
        "commit_seq": report.commit_seq,
        "epoch": report.head.epoch,
        "hash": report.head.hash.hex(),
        "signed_seq": verification.signed_seq,
        "unsigned_events": report.head.seq - verification.signed_seq,
        "checkpoints": verification.held,
        "signed_by": verification.by,
        "places": verification.places,
        "findings": verification.findings,
        "damaged": verification.damaged,
        "forged": verification.forged,
        "unproven": verification.unproven,
        "notes": verification.notes,
    }


def _print_verification(verification: Verification) -> None:
    report = verification.report
    doubts = (*verification.forged, *verification.unproven, *verification.damaged)
    verdict = "NOT AS SIGNED" if verification.findings else "NOT SHOWN" if doubts else "ok"
    click.echo(f"{verdict}: {report.events} events in {report.batches} batches up to seq {report.head.seq}, "
               f"epoch {report.head.epoch}, hash {report.head.hash.hex()}")  # fmt: skip
    if verification.held:
        after = count(report.head.seq - verification.signed_seq, "event")
        held, places = count(verification.held, "checkpoint"), ", ".join(verification.places)
        click.echo(f"signed up to seq {verification.signed_seq}, {after} after it; {held}: {places}")
    for finding in verification.findings:
        click.echo(f"finding: {finding}")
    for sentence in doubts:
        click.echo(f"not shown: {sentence}")
    for note in verification.notes:
        click.echo(f"note: {note}")
