"""What an error says is for people, whatever it quotes."""

from __future__ import annotations

from iodeep.errors import InputError, is_plain, plain


def test_what_an_error_quotes_steers_no_terminal() -> None:
    error = InputError("a \x1b]0;owned\x07 name", found="br\u202ein", expected="é\u00a0日本", remedy="two\nlines")

    assert str(error) == "a \\x1b]0;owned\\x07 name; expected é\u00a0日本; found br\\u202ein. two\nlines"
    assert error.as_dict()["found"] == "br\\u202ein"


def test_plain_text_stays_as_it_is() -> None:
    for text in ("Gehirn, 脳, мозг, دماغ", "a\nb", ""):
        assert plain(text) == text
    assert not is_plain("a\nb")


def test_what_an_error_quotes_is_cut() -> None:
    assert len(str(InputError("a" * 100_000, found="\x00" * 100_000))) < 10_000
