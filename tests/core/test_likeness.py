"""Which name was probably meant: whatever keyboards change, and among thousands as well as among three."""

from __future__ import annotations

import pytest

from core.releases.likeness import COMPARED, most_like

FEW = ("checkout", "payments", "search")
MANY = (*(f"{letter}-{number}" for letter in "abcdefgh" for number in range(COMPARED)), *FEW)


@pytest.mark.parametrize("names", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize("typed", ["chekout", "CHECK-OUT", "“checkout”", "check–out", "ｃｈｅｃｋｏｕｔ"])
def test_the_name_most_like_what_was_typed_is_offered(typed: str, names: tuple[str, ...]):
    assert most_like(typed, names, 1) == ("checkout",)


def test_names_are_offered_as_they_are_written_best_first_and_never_one_that_is_nothing_like_it():
    assert most_like("wave-2", ("Wave-20", "beta", "WAVE-2")) == ("WAVE-2", "Wave-20")
    assert most_like("zebra", FEW) == ()
    assert most_like("zebra", MANY) == ()
    assert most_like("checkout" + "x" * 100_000, FEW) == ()
    assert most_like("", FEW) == most_like("checkout", ()) == ()
