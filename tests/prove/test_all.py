"""The whole proof: each instrument a child, its result kept whatever it does, and the exit code the worst of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ops.cli import VERBS
from ops.exits import INTEGRITY, OK, REFUSED, USAGE
from ops.prove import all as proof
from ops.prove import provenance, records, report
from ops.prove.instruments import AULARIO, INSTRUMENTS, PYTHON
from ops.prove.provenance import CHECKOUT
from ops.prove.records import Record
from tests.prove.test_records import RECORD

GOOD = 'print(\'{"name": "x", "runs": 3, "failures": [], "seconds": 0.1, "details": {"commit": "no"}}\')'
BAD = 'print(\'{"name": "x", "runs": 3, "failures": [{"what": "lost", "replay": "r"}], "seconds": 1, "details": {}}\')'
DRILL = 'print(\'{"drill": "freeze", "cycles": 2, "failures": ["1 lost"], "seconds": 1, "lost": 1}\')'
REFUSES = "import sys; print('skipped: no disks here', file=sys.stderr); sys.exit(1)"
PARTLY = 'print(\'{"name": "x", "runs": 3, "failures": [], "seconds": 1, "details": {"skipped": {"loss": "no tun"}}}\')'
DIES = "import sys; sys.exit('it broke')"

POWER_CUTS = INSTRUMENTS[RECORD.instrument]

Prove = Callable[..., Result]


@pytest.fixture
def prove(tmp_path: Path) -> Iterator[Prove]:
    """Runs the proof with programs in the places of its instruments."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    every = dict(INSTRUMENTS)

    def run(*options: str, **programs: str) -> Result:
        INSTRUMENTS.clear()
        for name, program in programs.items():
            INSTRUMENTS[name] = replace(every[name], words=(PYTHON, "-c", program), count=3)
        return CliRunner().invoke(proof.prove, ["--results", str(tmp_path), *options])

    yield run
    INSTRUMENTS.clear()
    INSTRUMENTS.update(every)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def kept(tmp_path: Path, name: str) -> Record:
    record = records.read(tmp_path, name)
    assert record is not None
    return record


def test_what_went_well_is_kept_and_summed_up(prove: Prove, tmp_path: Path) -> None:
    done = prove(links=GOOD)
    assert done.exit_code == OK, done.output
    record = kept(tmp_path, "links")
    assert (record.outcome.runs, record.count, record.outcome.details) == (3, 3, {})
    assert record.host["cores"] >= 1 and "3 runs, 0 failures" in done.output
    assert "| 3 trials | 0 |" in (tmp_path / "RELIABILITY.md").read_text(encoding="utf-8")


def test_a_failure_does_not_end_the_proof_but_its_exit_code(prove: Prove, tmp_path: Path) -> None:
    done = prove(power_cuts=BAD, freeze=DRILL, links=GOOD, sim=REFUSES)
    assert done.exit_code == INTEGRITY
    assert kept(tmp_path, "power_cuts").outcome.failures[0].what == "lost"
    assert kept(tmp_path, "freeze").outcome.failures[0].what == "1 lost"
    assert kept(tmp_path, "freeze").outcome.details == {"lost": 1}
    assert kept(tmp_path, "links").outcome.runs == 3
    assert "## Failures\n\n- lost\n" in (tmp_path / "RELIABILITY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "said"), [("links", "a promise was broken"), ("mutants", "went unnoticed")], ids=["promise", "mutant"]
)
def test_the_page_begins_with_what_went_wrong(prove: Prove, tmp_path: Path, name: str, said: str) -> None:
    prove(**{name: BAD, "sim": GOOD})
    opening = (tmp_path / "RELIABILITY.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert said in opening
    assert ("nothing that was confirmed was lost" in opening) is (name == "mutants")


@pytest.mark.parametrize("program", [REFUSES, PARTLY])
def test_what_cannot_be_run_here_is_told_and_shows_in_the_exit_code(prove: Prove, program: str) -> None:
    done = prove(links=program, sim=GOOD)
    assert done.exit_code == REFUSED
    assert ("no disks here" if program == REFUSES else "skipped loss: no tun") in done.output


def test_an_instrument_that_breaks_is_a_failure(prove: Prove, tmp_path: Path) -> None:
    assert prove(links=DIES).exit_code == INTEGRITY
    assert kept(tmp_path, "links").outcome.failures[0].what == "it gave no outcome but ended with 1: it broke"


@pytest.mark.parametrize(
    ("commit", "count", "again"),
    [("abc", 200, False), ("abd", 200, True), ("abc", 100, True)],
)
def test_a_result_of_this_code_and_count_need_not_come_again(commit: str, count: int, again: bool) -> None:
    assert proof.is_of(RECORD, POWER_CUTS, commit, count) is not again


def test_a_result_of_code_without_a_name_must_come_again() -> None:
    assert not proof.is_of(replace(RECORD, commit="abc+changes"), POWER_CUTS, "abc+changes", 200)


def test_what_could_not_run_is_tried_again() -> None:
    assert not proof.is_of(replace(RECORD, could_not_run="no disks here"), POWER_CUTS, "abc", 200)


def test_a_result_of_another_command_must_come_again() -> None:
    assert not proof.is_of(replace(RECORD, command=f"{RECORD.command} --calm"), POWER_CUTS, "abc", 200)


def test_a_kept_result_is_used_unless_it_is_wanted_again(
    prove: Prove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "revision", lambda modules: "abc")
    command = f"{PYTHON} -c {BAD} --seed {RECORD.seed}"
    records.write(tmp_path, replace(RECORD, command=command, count=3, outcome=replace(RECORD.outcome, failures=())))
    assert prove(power_cuts=BAD).exit_code == OK
    assert prove("--again", power_cuts=BAD).exit_code == INTEGRITY


def test_a_quick_pass_has_fewer_runs_but_looks_for_a_mutant_as_long_as_it_takes(prove: Prove, tmp_path: Path) -> None:
    assert prove("--scale", "0.4", links=GOOD, mutants=GOOD).exit_code == OK
    assert (kept(tmp_path, "links").count, kept(tmp_path, "mutants").count) == (1, 3)


@pytest.mark.parametrize("scale", ["nan", "inf", "0"])
def test_a_scale_that_is_no_share_is_a_usage_error(prove: Prove, scale: str) -> None:
    assert prove("--scale", scale, links=GOOD).exit_code == USAGE


def test_nothing_is_run_where_nothing_can_be_kept(prove: Prove, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    done = prove("--results", str(tmp_path / "a file"), links=GOOD)
    assert isinstance(done.exception, OSError) and "links" not in done.output


def test_code_of_which_git_says_nothing_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()  # no repository of ours: git refuses it
    monkeypatch.setattr(provenance, "CHECKOUT", tmp_path)
    assert provenance.revision() == provenance.UNKNOWN
    assert not provenance.is_whole(provenance.UNKNOWN)


def test_a_result_of_some_modules_is_one_of_everything_that_they_load() -> None:
    """A process that has done it all is asked for what it loaded."""
    instrument = INSTRUMENTS["sim"]
    script = (
        "import atexit, sys; from ops.cli import main; sys.argv = ['aulario', 'sim', '--seeds', '1', '--jobs', '1']; "
        "files = lambda: {str(getattr(one, '__file__', '')) for one in list(sys.modules.values())}; "
        "atexit.register(lambda: print(*files(), sep='\\n')); main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    ours = {Path(line) for line in done.stdout.splitlines() if line.startswith(str(CHECKOUT)) and ".venv" not in line}
    loaded = {str(path.relative_to(CHECKOUT)) for path in ours}
    told = set(provenance.imported_by(instrument.modules))
    assert len(loaded) > 100
    assert loaded <= told
    assert "es/log/lmdb_log.py" not in told, "a simulated disk keeps no files"


@pytest.mark.parametrize("name", ["sim", "mutants"])
def test_a_command_that_runs_some_modules_is_theirs(name: str) -> None:
    instrument = INSTRUMENTS[name]
    assert instrument.words[0] == AULARIO
    assert instrument.modules == ("ops.cli", VERBS[instrument.words[1]].module)


@pytest.mark.parametrize(("runs", "percentile"), [(99, "–"), (100, "7")])
def test_a_percentile_is_told_of_runs_enough_to_have_one(runs: int, percentile: str) -> None:
    told = dict.fromkeys(("detect_ms", "promote_ms", "results", "lost", "duplicates", "unknown", "stale_results"), 0)
    details = {**told, "first_reply_ms": 5, "first_reply_p99_ms": 7, "first_reply_max_ms": 9}
    outcome = replace(RECORD.outcome, runs=runs, failures=(), details=details)
    page = report.rendered({"freeze": replace(RECORD, instrument="freeze", outcome=outcome)})
    assert f"| freeze | 0 | 0 | 5 | {percentile} | 9 |" in page


def test_pauses_and_shortages_have_a_table_each() -> None:
    told = {"runs": 4, "failures": 0, "results": 900, "ended": ["out of memory"], "aborted": 0, "recover_ms": 40,
            "recover_max_ms": 1_234, "heal_max_ms": 2_000, "unavailable_max_ms": 700}  # fmt: skip
    found = {}
    for name, details in (
        ("scarcity", {"by_case": {"witness, memory": told}}),
        ("rolling_restart", {"pauses": {"primary": {"restarts": 10, "median_ms": 640, "max_ms": 700}}}),
    ):
        outcome = replace(RECORD.outcome, runs=4, failures=(), details=details)
        found[name] = replace(RECORD, instrument=name, outcome=outcome)
    page = report.rendered(found)
    assert "| witness, memory | 4 | 0 | 75 % | 900 | 40 | 1\u202f234 | 2\u202f000 | 700 | 1 | 0 |" in page
    assert "| primary | 10 | 640 | 700 |" in page
