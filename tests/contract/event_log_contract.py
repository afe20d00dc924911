"""What every store must do (es.log.base). Each store's tests inherit this suite and give `opened`."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from es.log.base import EMPTY, EventLog, Write
from es.log.chain import head_of
from tests.contract.chains import IDENTITY, chain, datas


class EventLogContract(ABC):
    @abstractmethod
    def made(self, path: Path) -> EventLog:
        """A new, empty log of IDENTITY."""

    @abstractmethod
    def reopened(self, log: EventLog) -> EventLog:
        """The same log after its process has ended and begun again."""

    def before_and_after_a_restart(self, log: EventLog) -> Iterator[EventLog]:
        yield log
        yield self.reopened(log)

    @pytest.fixture
    def log(self, tmp_path: Path) -> EventLog:
        return self.made(tmp_path / "log")

    def test_a_new_log_is_empty(self, log: EventLog) -> None:
        assert log.identity == IDENTITY
        assert log.head() == EMPTY
        assert log.commit_seq() == 0
        assert log.record("promised") is None
        assert log.batch_at(1) is None
        assert list(log.batches()) == []

    def test_what_was_written_is_there_after_a_restart(self, log: EventLog) -> None:
        batches = chain(5)
        assert log.write(Write(batches[:2])) == head_of(batches[1])
        assert log.write(Write(batches[2:], commit_seq=6, records=[("promised", b"4")])) == head_of(batches[4])
        again = self.reopened(log)
        assert again.identity == IDENTITY
        assert again.head() == head_of(batches[4])
        assert again.commit_seq() == 6
        assert again.record("promised") == b"4"
        assert datas(list(again.batches())) == datas(batches)

    def test_a_reopened_log_continues_its_chain(self, log: EventLog) -> None:
        first = chain(3)
        log.write(Write(first))
        again = self.reopened(log)
        more = chain(3, again.head())
        again.write(Write(more))
        assert list(again.batches()) == first + more

    def test_a_batch_that_does_not_continue_the_chain_is_not_written(self, log: EventLog) -> None:
        batches = chain(4)
        log.write(Write(batches[:2]))
        strange = chain(3, epoch=2)[2]  # the right place, another history
        past = chain(1, head_of(batches[1])._replace(ts_us=0))[0]  # the right link, an earlier time
        fallen = chain(1, head_of(batches[1])._replace(epoch=0), epoch=0)[0]  # and a lower epoch
        for wrong in (batches[3:], batches[:1], [strange], [past], [fallen], [batches[2], batches[2]]):
            with pytest.raises(AssertionError):
                log.write(Write(wrong, commit_seq=3, records=[("promised", b"9")]))
        assert log.head() == head_of(batches[1])
        assert (log.commit_seq(), log.record("promised")) == (0, None)
        log.write(Write(batches[2:]))
        assert list(self.reopened(log).batches()) == batches

    def test_truncating_and_appending_is_one_write(self, log: EventLog) -> None:
        old = chain(6)
        log.write(Write(old, commit_seq=6))
        other = chain(2, head_of(old[2]), epoch=2)
        head = log.write(Write(other, truncate_after=9, commit_seq=12, records=[("register", b"r")]))
        for seen in self.before_and_after_a_restart(log):
            assert seen.head() == head == head_of(other[1])
            assert list(seen.batches()) == old[:3] + other
            assert (seen.commit_seq(), seen.record("register")) == (12, b"r")
            assert seen.batch_at(16) is None

    def test_a_refused_write_truncates_nothing(self, log: EventLog) -> None:
        old = chain(6)
        log.write(Write(old))
        with pytest.raises(AssertionError):
            log.write(Write(chain(1), truncate_after=9))
        assert log.head() == head_of(old[5])
        assert list(self.reopened(log).batches()) == old

    def test_truncating_to_the_beginning_empties_the_chain_and_keeps_the_records(self, log: EventLog) -> None:
        log.write(Write(chain(4), records=[("promised", b"3")]))
        assert log.write(Write(truncate_after=0)) == EMPTY
        again = self.reopened(log)
        assert again.head() == EMPTY
        assert list(again.batches()) == []
        assert again.record("promised") == b"3"

    def test_truncating_past_the_head_removes_nothing(self, log: EventLog) -> None:
        batches = chain(2)
        log.write(Write(batches))
        assert log.write(Write(truncate_after=6)) == log.write(Write(truncate_after=99)) == head_of(batches[1])

    def test_a_batch_is_never_cut_in_two(self, log: EventLog) -> None:
        log.write(Write(chain(2)))
        with pytest.raises(AssertionError, match="inside a batch"):
            log.write(Write(truncate_after=4))

    def test_committed_batches_are_never_truncated(self, log: EventLog) -> None:
        log.write(Write(chain(3), commit_seq=6))
        with pytest.raises(AssertionError, match="commit point"):
            log.write(Write(truncate_after=3))
        assert log.head().seq == 9

    def test_the_commit_point_never_falls_and_never_passes_the_head(self, log: EventLog) -> None:
        log.write(Write(chain(3), commit_seq=6))
        log.write(Write(commit_seq=3))
        with pytest.raises(AssertionError, match="past the head"):
            log.write(Write(commit_seq=10))
        assert log.commit_seq() == 6
        assert self.reopened(log).commit_seq() == 6

    def test_records_are_replaced_whole_and_one_by_one(self, log: EventLog) -> None:
        log.write(Write(records=[("promised", b"long value"), ("register", b"r1")]))
        log.write(Write(records=[("promised", b"")]))
        for seen in self.before_and_after_a_restart(log):
            assert (seen.record("promised"), seen.record("register")) == (b"", b"r1")

    def test_a_sequence_number_is_found_in_the_batch_that_holds_it(self, log: EventLog) -> None:
        batches = [*chain(2, events=1), *chain(2, head_of(chain(2, events=1)[1]), events=4)]
        log.write(Write(batches))
        found = [log.batch_at(seq) for seq in range(12)]
        a, b, c, d = batches
        assert found == [None, a, b, c, c, c, c, d, d, d, d, None]
        assert log.batch_at(-1) is None
        stamps = [log.stamp_at(seq) for seq in range(-1, 12)]
        assert stamps == [None, *(one and one.stamp for one in found)]

    @pytest.mark.parametrize("from_seq", [-5, 1, 2, 300, 301, 302, 999, 1_000, 1_001, 5_000])
    def test_iteration_begins_with_the_batch_that_holds_a_sequence_number(self, log: EventLog, from_seq: int) -> None:
        batches = chain(500, events=2)
        log.write(Write(batches))
        assert list(log.batches(from_seq)) == [batch for batch in batches if batch.last_seq >= from_seq]

    def test_iteration_goes_on_into_what_is_appended_meanwhile(self, log: EventLog) -> None:
        first, more = chain(300), chain(300, head_of(chain(300)[-1]))
        log.write(Write(first))
        iteration = log.batches()
        seen = [next(iteration)]
        log.write(Write(more))
        assert seen + list(iteration) == first + more

    @pytest.mark.parametrize("kept_batches", [10, 299])
    def test_a_truncation_ends_an_iteration(self, log: EventLog, kept_batches: int) -> None:
        old = chain(600)
        log.write(Write(old))
        iteration = log.batches()
        seen = [next(iteration) for _ in range(300)]
        other = chain(600, head_of(old[kept_batches - 1]), epoch=2)
        log.write(Write(other, truncate_after=old[kept_batches - 1].last_seq))
        seen += iteration
        assert seen == old[: len(seen)]  # one history, not a mixture of two
        assert len(seen) < 600

    def test_a_large_batch_is_kept(self, log: EventLog) -> None:
        batches = chain(3, events=16, body_bytes=60_000)
        for batch in batches:
            log.write(Write([batch]))
        assert datas(list(self.reopened(log).batches())) == datas(batches)

    def test_the_bytes_in_use_grow_with_the_log(self, log: EventLog) -> None:
        assert log.bytes_used() == 0
        batches = chain(100)
        log.write(Write(batches))
        assert log.bytes_used() >= sum(len(batch.data) for batch in batches)
        log.write(Write(truncate_after=0))
        assert log.bytes_used() == 0

    def test_a_reader_beside_the_writer_sees_whole_writes_only(self, log: EventLog) -> None:
        batches = chain(1_200)
        written = threading.Event()

        def read() -> None:
            last = False
            while not last:
                last = written.is_set()
                head = log.head()
                seen = list(log.batches())
                assert seen == batches[: len(seen)]
                assert len(seen) * 3 >= head.seq
                assert head.seq == 0 or log.batch_at(head.seq) == batches[head.seq // 3 - 1]
            assert seen == batches

        with ThreadPoolExecutor(max_workers=1) as threads:
            reading = threads.submit(read)
            try:
                for start in range(0, len(batches), 4):
                    log.write(Write(batches[start : start + 4]))
            finally:
                written.set()
            reading.result(timeout=60)

    def test_closing_twice_is_closing_once(self, log: EventLog) -> None:
        log.close()
        log.close()
