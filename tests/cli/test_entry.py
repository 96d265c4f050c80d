from processes import python

WITHOUT_CLICK = (
    "import sys; sys.modules['click'] = None; from perdure.cli import main; sys.exit(main())"
)


def test_without_its_extra_the_command_says_what_to_install() -> None:
    result = python("-c", WITHOUT_CLICK, "tour")
    assert result.returncode == 2
    assert result.stderr == (
        "perdure: the command line needs click; "
        "install what it needs with: pip install 'perdure[cli]'\n"
    )
