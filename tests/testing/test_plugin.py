"""The pytest fixtures, in test suites of their own."""

import pytest

# Pytester unloads what its suites load first, and the next one would get classes that are others.
import perdure.testing.layers  # noqa: F401

BASE = """
    import perdure
    import pytest

    @pytest.fixture(scope="session")
    def perdure_base():
        db = perdure.DB(None)
        with db.transaction() as connection:
            connection.root.numbers = perdure.PersistentList([1, 2, 3])
        yield db
        db.close()
"""


def passes(pytester: pytest.Pytester, count: int, *options: str) -> None:
    result = pytester.runpytest("-W", "error", *options)
    result.assert_outcomes(passed=count)


def test_each_test_gets_the_base_as_it_was_built(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BASE)
    pytester.makepyfile("""
        import pytest
        import transaction

        @pytest.mark.parametrize("time", range(3))
        def test_commits(perdure_db, perdure_connection, perdure_root, time):
            assert list(perdure_root.numbers) == [1, 2, 3]
            perdure_root.numbers.append(4)
            transaction.commit()
            with perdure_db.transaction() as other:
                assert list(other.root.numbers) == [1, 2, 3, 4]
    """)
    passes(pytester, 3)


def test_without_a_base_the_database_is_empty(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_empty(perdure_root):
            assert list(perdure_root()) == []
    """)
    passes(pytester, 1)


def test_modules_and_classes_put_layers_between(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BASE)
    pytester.makepyfile(
        test_plain="""
        def test_base(perdure_root):
            assert list(perdure_root.numbers) == [1, 2, 3]
        """,
        test_with_layers="""
        import pytest
        from perdure.testing import layer

        @pytest.fixture(scope="module")
        def perdure_module_base(perdure_module_base):
            with layer(perdure_module_base, name="module") as below:
                below.push(lambda connection: connection.root.numbers.append("module"))
                yield below

        class TestShop:
            @pytest.fixture(scope="class")
            @classmethod
            def perdure_class_base(cls, perdure_class_base):
                with layer(perdure_class_base, name="class") as below:
                    below.push(lambda connection: connection.root.numbers.append("class"))
                    yield below

            @pytest.mark.parametrize("time", [1, 2])
            def test_class(self, perdure_db, time):
                with perdure_db.transaction() as connection:
                    numbers = connection.root.numbers
                    assert list(numbers) == [1, 2, 3, "module", "class"]
                    numbers.append("test")

        def test_module(perdure_root):
            assert list(perdure_root.numbers) == [1, 2, 3, "module"]
        """,
    )
    passes(pytester, 4)


def test_marks_fill_layers_of_a_test_from_the_outermost_to_the_closest(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(BASE)
    pytester.makepyfile("""
        import pytest

        def one(connection): connection.root.numbers.append("one")
        def two(connection): connection.root.numbers.append("two")
        def three(connection): connection.root.numbers.append("three")

        pytestmark = pytest.mark.perdure(layers=[one])

        @pytest.mark.perdure(layers=[two, three])
        def test_all(perdure_root):
            assert list(perdure_root.numbers) == [1, 2, 3, "one", "two", "three"]

        def test_outer(perdure_root):
            assert list(perdure_root.numbers) == [1, 2, 3, "one"]
    """)
    passes(pytester, 2)


def test_a_mark_gives_a_test_another_base(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BASE)
    pytester.makepyfile("""
        import pytest
        from perdure.storages import DemoStorage

        made = []

        def make():
            made.append(DemoStorage("mine"))
            return made[-1]

        @pytest.mark.perdure(base="memory:")
        def test_address(perdure_root):
            assert list(perdure_root()) == []

        @pytest.mark.perdure(base=make)
        def test_factory(perdure_db):
            assert perdure_db.storage.base is made[0]

        def test_the_made_storage_was_closed():
            assert not made[0].opened()
    """)
    passes(pytester, 3)


@pytest.mark.parametrize("mark", ["'memory:'", "layer=[]", "layers=['memory:']"])
def test_a_mark_that_says_something_else_is_an_error_that_names_the_test(
    pytester: pytest.Pytester, mark: str
) -> None:
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.perdure({mark})
        def test_wrong(perdure_db):
            pass
    """)
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*::test_wrong: found the mark perdure with *expected layers=*"])


def test_the_mark_is_known_where_marks_must_be(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.perdure(base="memory:")
        def test_it(perdure_db):
            pass
    """)
    passes(pytester, 1, "--strict-markers")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("perdure_root.more = 1", "test_it: its connection has changes that were neither"),
        ("perdure_root.more = 1", "persistent.mapping.PersistentMapping (oid 0x0"),
        ("perdure_db.open(manager)", "test_it: a connection that was opened at * is still open"),
        ("perdure_db.open(manager).root.more = 1", "opened at * has changes that were neither"),
        (
            "perdure_root.more = 1; transaction.savepoint()",
            "test_it: its connection takes part in a transaction",
        ),
    ],
)
def test_a_test_is_told_by_name_what_it_leaves_behind(
    pytester: pytest.Pytester, body: str, said: str
) -> None:
    pytester.makepyfile(f"""
        import transaction

        manager = transaction.TransactionManager()

        def test_it(perdure_db, perdure_root):
            {body}

        def test_after_it(perdure_root):
            assert list(perdure_root()) == []
            assert transaction.get()._resources == []
    """)
    result = pytester.runpytest("-W", "default")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines([f"*LeftBehindWarning: *{said}*"])


def test_what_is_left_behind_is_an_error_where_warnings_are(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_it(perdure_root):
            perdure_root.more = 1
    """)
    result = pytester.runpytest("-W", "error::perdure.testing.LeftBehindWarning")
    result.assert_outcomes(passed=1, errors=1)


def test_threads_of_a_test_open_connections_of_their_own(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BASE)
    pytester.makepyfile("""
        import threading

        def test_threads(perdure_db):
            def work():
                perdure_db.run(lambda connection: connection.root.numbers.append(4), retries=20)

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            with perdure_db.transaction() as connection:
                assert list(connection.root.numbers) == [1, 2, 3, 4, 4, 4]
    """)
    passes(pytester, 1)


@pytest.mark.parametrize("options", [(), ("-n2",)])
def test_a_base_in_a_file_is_built_once_for_all_workers(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # of the run that this is part of
    pytester.makeconftest("""
        import os
        import perdure
        import pytest

        def fill(connection):
            connection.root.builders = perdure.PersistentList([os.getpid()])

        @pytest.fixture(scope="session")
        def perdure_base(perdure_build):
            return perdure_build(fill)
    """)
    pytester.makepyfile("""
        import os
        import pytest
        import transaction

        @pytest.mark.parametrize("time", range(8))
        def test_it(perdure_root, tmp_path_factory, time):
            [builder] = perdure_root.builders
            place = tmp_path_factory.getbasetemp()
            if os.environ.get("PYTEST_XDIST_WORKER"):
                place = place.parent
            with (place / "builders").open("a") as file:
                file.write(f"{builder} {os.getpid()}\\n")
            perdure_root.builders.append(os.getpid())
            transaction.commit()
    """)
    result = pytester.runpytest_subprocess("-W", "error", "--basetemp=run", *options)
    result.assert_outcomes(passed=8)
    said = (pytester.path / "run" / "builders").read_text().split("\n")[:-1]
    assert len({line.split()[0] for line in said}) == 1
    assert len({line.split()[1] for line in said}) == (2 if options else 1)


def test_the_plugin_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_not_loaded():
            assert "perdure.testing.plugin" in sys.modules
            assert {"persistent", "transaction", "perdure.opening"}.isdisjoint(sys.modules)
    """)
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)
