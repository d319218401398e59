"""Tests of leaves: dotted keys, and differences told in a line."""

from opv2v_doctor.facts.launch.leaves import Difference, leaves

CONFIG = {"a": {"b": 1, "c": [2, 3], "empty": {}}, "d": None}


def test_each_value_has_its_dotted_key() -> None:
    assert list(leaves(CONFIG)) == [("a.b", 1), ("a.c", [2, 3]), ("d", None)]
    assert dict(leaves(CONFIG["a"], "a", empty=True))["a.empty"] == {}


def test_a_difference_is_told_whole_where_it_is_short() -> None:
    assert str(Difference(key="lr", before=1e-4, after=None)) == "lr: 0.0001 -> null"


def test_a_long_text_is_shown_from_shortly_before_the_point_where_it_differs() -> None:
    text = "+ 40_000 @ Dataset(split='train',\n ROOT='/data/OPV2V', views={}, mask=True, " + "more=1, " * 9
    told = str(Difference(key="train", before=text.format(5), after=text.format(4)))
    before, after = told.removeprefix("train: ").split(" -> ")
    assert before.startswith("...V2V', views=5, mask=True")
    assert after.startswith("...V2V', views=4, mask=True")
    assert before.endswith("...")


def test_nothing_that_a_terminal_would_obey_is_shown() -> None:
    assert str(Difference(key="name", before="a\x1b[31mb\nc", after="路")) == "name: a?[31mb c -> 路"
