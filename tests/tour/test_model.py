from perdure.tour.model import Class, Function, Library, Module


def module(name: str, *, imports: tuple[str, ...] = (), functions: tuple[str, ...] = ()) -> Module:
    made = tuple(Function(f"{name}.{function}", 1, 1, (), None) for function in functions)
    cls = Class(f"{name}.Thing", 5, 10, (), None, (), ())
    return Module(name, f"{name}.py", 20, None, imports, (cls,), made)


def test_a_name_leads_to_all_its_definitions() -> None:
    library = Library("3.11.0")
    library.add(module("a", functions=("dumps",)))
    library.add(module("b", functions=("dumps", "dump")))
    found = library.definitions.items(("dumps", ""), ("dumps", "~"))
    assert [(where, definition.name) for (_, where), definition in found] == [
        ("a.dumps", "a.dumps"),
        ("b.dumps", "b.dumps"),
    ]


def test_a_module_leads_to_its_importers() -> None:
    library = Library("3.11.0")
    library.add(module("a", imports=("os", "sys")))
    library.add(module("b", imports=("sys",)))
    assert {name: list(users) for name, users in library.importers.items()} == {
        "os": ["a"],
        "sys": ["a", "b"],
    }


def test_adding_a_module_again_replaces_it() -> None:
    library = Library("3.11.0")
    library.add(module("a", functions=("f",)))
    again = module("a", functions=("f",))
    library.add(again)
    assert library.definition_count() == len(library.definitions) == 2
    assert library.definitions["f", "a.f"] is again.functions[0]


def test_classes_are_found_by_walking() -> None:
    library = Library("3.11.0")
    library.add(module("a"))
    library.add(module("b"))
    assert [cls.name for cls in library.classes()] == ["a.Thing", "b.Thing"]
