"""Matching what the program said with the template that it was made of."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opv2v_doctor.languages.catalogue import Catalogue, Template, blocks, parts_of

from opv2v_doctor.languages.sources import source_texts, template_of

TEXTS = {
    "no run yet": "还没有运行",
    "{0}: {1} has mean {2}": "{0}：{1} 的均值为 {2}",
    "the mask covers {0}, the rig sees {1}": "相机可见 {1}，掩码覆盖 {0}",
    ", which is what cropping leaves": "，这是裁剪后剩下的",
    "{0} ({1} views)": "{0}（{1} 个视图）",
}


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(TEXTS)


def test_a_text_is_translated_as_a_whole(catalogue: Catalogue) -> None:
    assert catalogue.said("no run yet") == "还没有运行"


def test_what_was_measured_stays_and_may_change_its_place(catalogue: Catalogue) -> None:
    assert catalogue.said("the mask covers 0.3, the rig sees 0.8") == "相机可见 0.8，掩码覆盖 0.3"


def test_texts_within_texts_are_translated(catalogue: Catalogue) -> None:
    said = catalogue.said(
        "val: the mask covers 0.3, the rig sees 0.8, which is what cropping leaves (4 views)"
    )
    assert said == "val: 相机可见 0.8，掩码覆盖 0.3，这是裁剪后剩下的（4 个视图）"


def test_texts_that_follow_each_other_are_translated(catalogue: Catalogue) -> None:
    assert catalogue.said("no run yet; no run yet") == "还没有运行; 还没有运行"


def test_a_word_alone_is_translated_and_within_a_quotation_it_stays() -> None:
    found = Catalogue({"error": "错误", "the script ended: {0}": "脚本结束：{0}"})
    assert found.said("error") == "错误"
    assert found.said("the script ended: slurmstepd: error: killed") == "脚本结束：slurmstepd: error: killed"


@pytest.mark.parametrize("text", ["loss is nan", "no run yet?", "", "x" * 5000, "no run"])
def test_what_is_not_known_stays(catalogue: Catalogue, text: str) -> None:
    assert catalogue.said(text) == text


def test_of_two_templates_the_one_that_says_more_is_meant() -> None:
    found = Catalogue({"{0} is {1}": "short", "{0} is larger than {1}": "long"})
    assert (found.said("a is larger than b"), found.said("a is b")) == ("long", "short")


def test_a_quoted_brace_is_no_gap(catalogue: Catalogue) -> None:
    assert catalogue.said("{0}: {1} has mean {7}") == "{0}：{1} 的均值为 {7}"


values = st.text(alphabet="abc {}0.5/", max_size=8)


@given(st.lists(values, min_size=3, max_size=3))
def test_a_template_gives_its_gaps_back(filled: list[str]) -> None:
    template = Template(parts_of("{0}; likewise {1}, first {2}"), "")
    first, second, third = filled
    assert template.gaps(f"{first}; likewise {second}, first {third}") == filled


def test_headings_and_paragraphs_are_blocks_however_they_are_wrapped() -> None:
    page = "It holds.\n\n## Why it matters\nSince it\ndoes.\n\n- one\n- two"
    assert list(blocks(page)) == ["It holds.", "## Why it matters", "Since it does.", "- one\n- two"]


def test_neighbouring_values_are_one_gap() -> None:
    (expression,) = ast.parse("f'{a}{b:>{c}}: {d!r} of' f' {e}'").body
    assert isinstance(expression, ast.Expr)
    assert template_of(expression.value) == "{0}: {1} of {2}"


def test_docstrings_keys_and_formats_are_no_texts(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        '"""A docstring of words."""\n'
        "def one(x):\n"
        '    """Another docstring."""\n'
        '    x.get("train_params.lr")\n'
        '    return f"{x:>10 }" + f"found {x} in " + "a b" + ("no such thing" if x else "s")\n',
        encoding="utf-8",
    )
    found = [text for text, _, line in source_texts([source]) if line == 5]
    assert sorted(found) == ["found {0} in ", "no such thing"]
