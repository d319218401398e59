"""What a preview's page and its files hold: pictures by the dataset's rule, depth that keeps its value."""

from __future__ import annotations

import base64
import gzip
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opv2v_doctor.facts.interpreter.questions import Rule
from opv2v_doctor.figures import pictures
from opv2v_doctor.figures.panorama_files import beginning, write_preview
from opv2v_doctor.figures.panorama_page import page
from opv2v_doctor.figures.panorama_words import CLOSE, MOST, NEAR, notes, verdict

from .sights import (
    HEIGHT,
    HOSTILE,
    RULE,
    WIDTH,
    default_arrays,
    reference_of,
    sample_of_views,
    shown_of,
    view_of,
)

OTHER = Rule(mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0), source="another table")


def page_of(*shown: Any) -> str:
    with ThreadPoolExecutor(1) as threads:
        return page(sample_of_views(tuple(each.drawn for each in shown)), shown, ["a fact"], threads)


def content_of(html: str) -> Any:
    found = re.search(r'<script id="sample" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def unpacked(text: str, scale: pictures.Scale) -> Any:
    """What the page's script makes of packed depth."""
    halves = np.frombuffer(gzip.decompress(base64.b64decode(text)), np.uint8).reshape(2, -1).astype(np.uint16)
    codes = np.cumsum(halves[0] + 256 * halves[1], dtype=np.uint16)
    metres = (codes.astype(np.float64) - 1) * scale.step + scale.low
    return np.where(codes == 0, 0, np.where(codes == pictures.NOT_FINITE, np.nan, metres))


def test_the_picture_is_denormalised_by_the_rule(tmp_path: Path) -> None:
    drawn, image = view_of(tmp_path), default_arrays()["img"]
    expected = np.moveaxis(image, 0, 2) * RULE.deviation + np.array(RULE.mean)
    assert drawn.rgb is not None
    assert np.abs(drawn.rgb - 255 * expected.clip(0, 1)).max() < 0.51
    assert RULE.source in str(drawn.how)
    assert drawn.doubts == ()


def test_without_a_rule_the_picture_is_stretched_and_says_so(tmp_path: Path) -> None:
    drawn = view_of(tmp_path, rule=None)
    assert drawn.rgb is not None
    assert (drawn.rgb.min(), drawn.rgb.max()) == (0, 255)
    assert "stretched" in str(drawn.how)
    assert any("stretched" in str(note) for note in notes(shown_of(drawn, "none")))


@pytest.mark.parametrize(
    ("rule", "named"), [(RULE, OTHER), (Rule(mean=(3.0,) * 3, deviation=(1.0,) * 3, source="wrong"), None)]
)
def test_a_rule_that_cannot_be_right_is_doubted(tmp_path: Path, rule: Rule, named: Rule | None) -> None:
    assert len(view_of(tmp_path, rule=rule, named=named).doubts) == 1


@given(st.lists(st.floats(-50, 300, width=32), min_size=1, max_size=60))
def test_packed_depth_keeps_its_value(values: list[float]) -> None:
    depth = np.array([[*values, 0.0, np.nan, np.inf]], np.float32)
    scale = pictures.scale_of(depth)
    kept = unpacked(pictures.packed_depth(depth, scale), scale)
    finite = np.isfinite(depth[0])
    assert np.isnan(kept[~finite]).all()
    assert np.abs(kept[finite] - depth[0][finite]).max() <= scale.step / 2 + 1e-4
    assert ((kept == 0) >= (depth[0] == 0)).all()
    assert scale.step <= 0.01


def test_a_mask_that_is_not_what_the_rig_sees_is_bad_news(tmp_path: Path) -> None:
    wrong = shown_of(view_of(tmp_path), reference_of(tmp_path))
    assert wrong.wrong
    (text, kind), *_ = verdict(wrong)
    assert kind == "bad" and "MSK002" in str(text)
    full = default_arrays()["non_ambiguous_mask"] | reference_of(tmp_path).mask
    assert not shown_of(view_of(tmp_path, arrays={"non_ambiguous_mask": full}), reference_of(tmp_path)).wrong


@pytest.mark.parametrize(("key", "code"), [("img", "GEO009"), ("depthmap", "GEO017")])
def test_an_image_or_depth_that_is_mostly_another_one_is_told_with_its_check(
    tmp_path: Path, key: str, code: str
) -> None:
    found = reference_of(tmp_path)
    assert found.ranges is not None
    for by, share, is_bad in ((0.9, 0.0, False), (1.1, MOST - 0.02, False), (1.1, MOST + 0.02, True)):
        off = np.zeros(found.mask.shape, bool)
        off.ravel()[: int(share * off.size)] = True
        if key == "img":
            levels = (
                found.rgb.astype(int) + (np.where(found.rgb > 127, -1, 1) * int(by * CLOSE)) * off[..., None]
            )
            array = np.moveaxis((levels / 255 - RULE.mean) / RULE.deviation, 2, 0).astype(np.float32)
        else:
            array = (found.ranges * (1 + by * NEAR * off))[..., None].astype(np.float32)
        told = verdict(
            shown_of(view_of(tmp_path, arrays={key: array, "non_ambiguous_mask": found.mask}), found)
        )
        assert any(code in str(text) for text, _ in told) == is_bad, (by, share)


def test_what_a_view_lacks_is_said(tmp_path: Path) -> None:
    lacking: dict[str, Any] = {"img": None, "depthmap": None, "valid_mask": np.zeros((2, 3), bool)}
    shown = shown_of(view_of(tmp_path, arrays=lacking), "no frame is named")
    said = " ".join(str(note) for note in notes(shown))
    assert "depthmap" in said
    assert "(2, 3)" in said
    assert "no frame is named" in said
    (view,) = content_of(page_of(shown))["views"]
    assert "rgb" not in view
    assert view["has_mask"]
    assert not view["has_valid"]


def test_texts_of_the_data_stay_texts(tmp_path: Path) -> None:
    html = page_of(shown_of(view_of(tmp_path, agent=HOSTILE), f"no frame {HOSTILE}"))
    assert HOSTILE not in html
    assert content_of(html)["views"][0]["name"] == f"agent {HOSTILE}"


def test_the_files_hold_what_was_drawn(tmp_path: Path) -> None:
    shown = [shown_of(view_of(tmp_path, agent=f"../{HOSTILE}"), reference_of(tmp_path))]
    folder = tmp_path / "new" / "preview"
    with ThreadPoolExecutor(1) as threads:
        path = write_preview(folder, sample_of_views((shown[0].drawn,)), shown, [], threads)
    assert path.parent == folder
    name, arrays = beginning(shown[0]), default_arrays()
    assert np.array_equal(np.load(folder / f"{name}_depth.npy"), arrays["depthmap"][..., 0], equal_nan=True)
    assert np.array_equal(np.load(folder / f"{name}_non_ambiguous_mask.npy"), arrays["non_ambiguous_mask"])
    assert np.array_equal(np.load(folder / f"{name}_valid_mask.npy"), arrays["valid_mask"])
    panorama = cv2.imread(str(folder / f"{name}_panorama.png"))
    assert panorama is not None
    assert np.array_equal(panorama[..., ::-1], np.asarray(shown[0].drawn.rgb))
    assert {each.suffix for each in folder.iterdir()} == {".html", ".json", ".npy", ".png"}
    assert json.loads((folder / "summary.json").read_text())["views"][0]["files"] == name


def test_large_pictures_become_small_enough(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = random.uniform(-1, 1, (3, 252, 1008)).astype(np.float32)
    depth = np.broadcast_to(np.linspace(1, 99, 1008, dtype=np.float32), (252, 1008))
    large = {"img": noise, "depthmap": depth, "non_ambiguous_mask": depth > 3, "valid_mask": depth > 9}
    html = page_of(shown_of(view_of(tmp_path, arrays=large), "none"))
    (view,) = content_of(html)["views"]
    assert view["rgb"].startswith("data:image/jpeg")
    assert "JPEG" in " ".join(str(note) for note in view["notes"])
    assert len(html) < 2_600_000
    assert (view["width"], view["height"]) == (1008, 252) != (WIDTH, HEIGHT)
