"""The suites fail where a promise is broken: one broken storage for each."""

from collections.abc import Sequence
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CATCHES = [
    ("VisibleAtTheVote", "Storage", "test_nothing_is_visible_before_tpc_finish"),
    ("OverlooksConflicts", "Storage", "test_a_stale_serial_is_a_conflict_that_tells_its_facts"),
    ("LooksOnlyOnce", "Storage", "test_of_two_that_store_at_once_one_wins"),
    ("OverlooksConflicts", "Storage", "test_creating_what_exists_is_a_conflict"),
    ("FollowsTheClock", "Storage", "test_tids_grow_even_when_the_clock_does_not"),
    ("CommitsOnAbort", "Storage", "test_an_abort_leaves_nothing_behind"),
    ("CallsBackLate", "Storage", "test_the_callback_gets_the_tid_once_and_before_it_is_visible"),
    ("AcceptsAnyTransaction", "Storage", "test_a_call_with_another_transaction_is_refused"),
    (
        "LooksAtArgumentsFirst",
        "Storage",
        "test_storing_in_another_transaction_is_refused_before_the_arguments_are_looked_at",
    ),
    ("FinishesWithoutVote", "Storage", "test_tpc_finish_without_a_vote_is_refused"),
    ("ReadsOnlyNow", "Storage", "test_load_before_finds_the_revision_of_any_moment"),
    ("ForgetsTheEnd", "Storage", "test_load_before_finds_the_revision_of_any_moment"),
    ("OffByOne", "Storage", "test_load_before_finds_the_revision_of_any_moment"),
    ("PublishesTooSoon", "Storage", "test_every_snapshot_is_whole_while_others_commit"),
    ("HistoryUpsideDown", "Storage", "test_history_is_newest_first_and_as_long_as_asked"),
    ("RepeatsOids", "Storage", "test_oids_are_new_each_time"),
    ("RepeatsOids", "Storage", "test_oids_handed_to_several_threads_differ"),
    ("PacksTooMuch", "Storage", "test_what_was_current_at_the_pack_time_or_came_later_stays"),
    ("PacksNothing", "Storage", "test_revisions_that_were_old_then_are_dropped"),
    ("KeepsGarbage", "Storage", "test_what_nothing_reaches_goes"),
    ("StaysOpen", "Storage", "test_use_after_close_is_refused"),
    ("SpeaksAscii", "Iteration", "test_metadata_survives_in_every_script"),
    ("RewritesExtensions", "Iteration", "test_extension_bytes_come_back_exactly"),
    ("ExcludesTheStop", "Iteration", "test_both_bounds_are_included"),
    ("UndoesNothing", "Undo", "test_undo_brings_the_state_before_back_as_a_new_revision"),
    ("UndoesHalf", "Undo", "test_undo_is_refused_where_a_later_transaction_changed_the_object"),
    ("LosesTheSource", "Undo", "test_an_undo_points_back_to_the_transaction_with_its_data"),
    ("RenumbersRestored", "Restore", "test_a_restored_transaction_keeps_its_tid"),
    ("RestoresWithChecks", "Restore", "test_restoring_does_not_look_for_conflicts"),
    ("ChecksNothing", "ReadVerifying", "test_a_transaction_that_read_what_is_old_fails"),
    (
        "ChecksTooEarly",
        "ReadVerifying",
        "test_two_that_each_rely_on_what_the_other_changes_do_not_both_commit",
    ),
    ("DeletesNothing", "ExternalGC", "test_a_deleted_object_is_a_pos_key_error"),
    ("SkipsRecords", "RecordIteration", "test_the_walk_yields_each_object_once_as_it_is_now"),
    ("MappingStorage", "Reopen", "test_everything_is_there_again"),
    ("MappingStorage", "Reopen", "test_conflicts_are_still_noticed"),
]

HEAD = """
import pytest
from perdure.testing.contract import *
from samples.broken_storages import *
"""

CLASS = """
class Test{storage}{suite}({suite}Contract):
    @pytest.fixture
    def make_storage(self):
        return {storage}
"""


def test_every_broken_promise_is_caught(pytester: pytest.Pytester) -> None:
    classes = {CLASS.format(storage=storage, suite=suite) for storage, suite, _ in CATCHES}
    path = pytester.makepyfile(HEAD + "".join(sorted(classes)))
    names = [f"{path.name}::Test{storage}{suite}::{test}" for storage, suite, test in CATCHES]

    failed = _outcomes(pytester, names)["failed"]

    assert [name for name in names if name not in failed] == []


def test_a_sound_storage_passes_the_same_tests(pytester: pytest.Pytester) -> None:
    tests = {(suite, test) for _, suite, test in CATCHES if suite != "Reopen"}
    suites = sorted({suite for suite, _ in tests})
    classes = [CLASS.format(storage="MappingStorage", suite=suite) for suite in suites]
    path = pytester.makepyfile(HEAD + "".join(classes))
    names = {f"{path.name}::TestMappingStorage{suite}::{test}" for suite, test in tests}

    assert _outcomes(pytester, sorted(names)) == {"passed": names, "failed": set()}


def test_a_read_only_storage_that_writes_is_caught(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from perdure.testing.contract import ReadOnlyContract
        from perdure.storages.memory import MappingStorage

        class TestWrites(ReadOnlyContract):
            @pytest.fixture
            def make_storage(self):
                return MappingStorage

            @pytest.fixture
            def view(self):
                return lambda storage: storage
        """
    )

    result = _run(pytester, "-k", "refused or says_so")

    assert result.parseoutcomes()["failed"] == 2


def test_a_suite_for_a_capability_that_is_not_declared_fails_in_every_test(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from zope.interface import classImplementsOnly
        from perdure.storages.memory import MappingStorage
        from perdure.testing.contract import UndoContract

        class Silent(MappingStorage):
            pass

        classImplementsOnly(Silent)

        class TestSilent(UndoContract):
            @pytest.fixture
            def make_storage(self):
                return Silent
        """
    )

    result = _run(pytester, "-k", "undo")

    outcomes = result.parseoutcomes()
    assert outcomes["errors"] > 20
    assert "passed" not in outcomes
    result.stdout.fnmatch_lines(["*does not declare 'undo', which UndoContract tests*"])


def test_a_declared_capability_without_its_suite_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + CLASS.format(storage="MappingStorage", suite="Undo"))

    result = _run(pytester, "-k", "every_declared_capability")

    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["*declared, but not tested: *'restore'*"])


def test_a_class_without_a_factory_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from perdure.testing.contract import IterationContract

        class TestNothing(IterationContract):
            pass
        """
    )

    result = _run(pytester, "-k", "stop_alone")

    assert result.parseoutcomes()["errors"] == 1
    result.stdout.fnmatch_lines(["*TestNothing has no fixture `make_storage`*"])


def test_a_known_difference_that_is_none_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HEAD
        + CLASS.format(storage="MappingStorage", suite="Iteration")
        + """
    differences = {
        "test_both_bounds_are_included": "they are, in fact",
        "test_of_which_there_is_none": "a misspelling",
    }
"""
    )

    result = _run(pytester, "-k", "both_bounds or names_a_test")

    assert result.parseoutcomes()["failed"] == 2
    result.stdout.fnmatch_lines(["*no such tests*", "*XPASS(strict)*they are, in fact*"])


def test_failed_assertions_are_explained(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HEAD + CLASS.format(storage="RepeatsOids", suite="Storage"))

    result = _run(pytester, "-k", "oids_are_new")

    result.stdout.fnmatch_lines(["*assert 501 == 1000*"])


def _outcomes(pytester: pytest.Pytester, names: Sequence[str]) -> dict[str, set[str]]:
    """Run tests by id and return the ids of those that passed and of those that failed."""
    lines = _run(pytester, "-rA", *names).outlines
    # A parametrized test fails if one of its cases does; its id ends at the bracket.
    failed = {_id_in(line) for line in lines if line.startswith("FAILED ")}
    passed = {_id_in(line) for line in lines if line.startswith("PASSED ")}
    return {"passed": passed - failed, "failed": failed}


def _id_in(line: str) -> str:
    return line.split(maxsplit=1)[1].split(" - ")[0].split("[")[0]


def _run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # In a process of its own: in this one, modules in C would be imported twice.
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *_PATH, *arguments)


_PATH = ("-o", f"pythonpath={Path(__file__).parent.parent}")
