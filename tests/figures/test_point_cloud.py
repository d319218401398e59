"""The page of a point cloud without a browser: packing, thinning, escaping and size."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from opv2v_doctor.figures.packing import STEPS, differences, on_grid
from opv2v_doctor.figures.plotly_page import plotly_tags
from opv2v_doctor.figures.point_cloud import (
    ERROR_CODES,
    ERROR_STEP,
    LIDAR,
    PREDICTION,
    TRUTH,
    AgentCloud,
    Camera,
    Cloud,
    InitialChoice,
    Scene,
    error_codes,
    page,
    thin,
    write_page,
)

LARGEST = 5_000_000  # bytes of a page of 200 000 points


def summed(packed: bytes, count: int) -> NDArray[np.uint16]:
    """What the page's script makes of packed columns."""
    low_high = np.frombuffer(packed, np.uint8).reshape(3, 2, count).astype(np.uint64)
    return (np.cumsum(low_high[:, 0] + 256 * low_high[:, 1], axis=1) & 0xFFFF).astype(np.uint16).T


def agent(name: str = "641", count: int = 1000) -> AgentCloud:
    random = np.random.default_rng(len(name))
    colours = random.integers(0, 256, (count, 3)).astype(np.uint8)
    errors = random.normal(0, 5, count).astype(np.float32)
    told: dict[str, Any] = {
        "masks": np.full(count, 7, np.uint8),
        "pixels": np.arange(count) * 3,
        "errors": errors,
    }
    clouds = {
        PREDICTION: Cloud(points=random.normal(0, 20, (count, 3)), colours=colours, **told),
        TRUTH: Cloud(points=random.normal(0, 20, (count, 3)), colours=colours),
        LIDAR: Cloud(points=random.normal(0, 20, (count // 10, 3))),
    }
    return AgentCloud(name=name, poses={PREDICTION: np.eye(4), TRUTH: np.eye(4)}, clouds=clouds)


def told(html: str) -> dict[str, object]:
    found = re.search(r'<script id="scene" type="application/json">(.*?)</script>', html, re.S)
    assert found
    scene: dict[str, object] = json.loads(found[1])
    return scene


finite = st.floats(-1e5, 1e5, width=32)


@given(arrays.arrays(np.float32, st.tuples(st.integers(0, 30), st.just(3)), elements=finite))
def test_a_position_is_off_by_half_a_step_at_most(points: NDArray[np.float32]) -> None:
    grid = on_grid(points)
    assert grid.step * STEPS <= (np.ptp(points.astype(float), axis=0).max() if len(points) else 0) * 1.001
    shown = grid.numbers * grid.step + np.array(grid.corner)
    assert np.abs(shown - points).max(initial=0) <= grid.step * 0.5001 + 1e-9


@given(arrays.arrays(np.uint16, st.tuples(st.integers(0, 40), st.just(3))))
def test_differences_sum_up_to_the_numbers(numbers: NDArray[np.uint16]) -> None:
    assert (summed(differences(numbers), len(numbers)) == numbers).all()


def test_the_page_holds_the_points_in_the_order_that_its_script_reads() -> None:
    one = agent(count=50)
    html = page(Scene(title="t", agents=[one]))
    found = re.search(r'<script id="points" type="text/plain">(.*?)</script>', html, re.S)
    assert found
    content = gzip.decompress(base64.b64decode(found[1]))
    grid = on_grid(one.clouds[PREDICTION].points)
    assert (summed(content[: 6 * 50], 50) == grid.numbers).all()
    colours = np.frombuffer(content[300:450], np.uint8).reshape(3, 50).T
    assert (colours == one.clouds[PREDICTION].colours).all()
    low, middle, high = np.frombuffer(content[500:650], np.uint8).reshape(3, 50).astype(int)
    assert (np.cumsum(low + 256 * middle + 65536 * high) == one.clouds[PREDICTION].pixels).all()
    # two coloured clouds, of which one has a mask, pixels and errors, and one of LiDAR, nothing else
    assert len(content) == 2 * (6 + 3) * 50 + (1 + 3 + 1) * 50 + 6 * 5


@given(arrays.arrays(np.float32, st.integers(0, 30), elements=st.floats(-140, 140, width=32)))
def test_an_error_survives_being_a_byte(errors: NDArray[np.float32]) -> None:
    codes = error_codes(errors).astype(float) - 128
    shown = np.sign(codes) * ERROR_STEP * np.expm1(np.abs(codes) / ERROR_CODES)
    assert (np.abs(shown - errors) <= 0.04 * np.abs(errors) + ERROR_STEP).all()
    assert error_codes(np.array([np.nan, 1e9, -1e9])).tolist() == [0, 255, 1]


def test_thinning_keeps_every_source_and_no_more_than_asked() -> None:
    agents = [agent("641", 3000), agent("650", 1000), agent("7", 20)]
    few = thin(agents, 1000)
    counts = {s: sum(len(one.clouds[s].points) for one in few) for s in (PREDICTION, TRUTH, LIDAR)}
    assert 990 <= sum(counts.values()) <= 1000
    assert counts[PREDICTION] > counts[TRUTH] > counts[LIDAR] > 0
    assert len(few[0].clouds[PREDICTION].points) == pytest.approx(
        3 * len(few[1].clouds[PREDICTION].points), abs=3
    )


def test_the_source_that_is_shown_first_gets_most_of_the_points() -> None:
    few = thin([agent(count=3000)], 1000, main=TRUTH)[0].clouds
    assert len(few[TRUTH].points) == 550 > len(few[PREDICTION].points) > len(few[LIDAR].points)


def test_thinning_leaves_a_small_scene_alone_and_is_the_same_each_time() -> None:
    assert len(thin([agent()], 5000)[0].clouds[TRUTH].points) == 1000
    one, other = (thin([agent()], 500)[0].clouds[TRUTH].points for _ in range(2))
    assert (one == other).all()


def test_words_of_files_stay_text() -> None:
    evil = "</script><script>alert(1)</script>"
    scene = Scene(title=evil, agents=[agent(evil)], notes=[evil], columns=[evil], rows=[[evil]])
    html = page(scene)
    assert evil not in html
    assert html.count("<script") == html.count("</script>")
    assert told(html)["agents"][0]["name"] == evil  # type: ignore[index]


def test_a_pose_that_is_not_finite_is_left_out() -> None:
    lost = AgentCloud(name="641", poses={PREDICTION: np.full((4, 4), np.nan), TRUTH: np.eye(4)}, clouds={})
    assert set(told(page(Scene(title="t", agents=[lost])))["agents"][0]["poses"]) == {TRUTH}  # type: ignore[index]


def test_the_opening_is_told() -> None:
    opening = InitialChoice(pose=TRUTH, compare=True, camera=Camera(eye=(1.0, 2.0, 3.0)))
    found = told(page(Scene(title="t", agents=[agent()]), opening))["opening"]
    assert found["pose"] == TRUTH and found["compare"] and found["camera"]["eye"] == [1.0, 2.0, 3.0]  # type: ignore[index]


def test_two_hundred_thousand_points_are_a_small_file(tmp_path: Path) -> None:
    agents = thin([agent(str(n), 45_000) for n in range(4)])
    drawn = sum(len(cloud.points) for one in agents for cloud in one.clouds.values())
    write_page(tmp_path / "cloud.html", Scene(title="t", agents=agents))
    assert 199_000 < drawn <= 200_000
    assert (tmp_path / "cloud.html").stat().st_size < LARGEST  # though random points pack badly
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_loaded_from_anywhere() -> None:
    html = page(Scene(title="t", agents=[agent()])).replace(plotly_tags(), "")
    addresses = re.findall(r"(?:src|href)\s*=|@import|fetch\(|https?://[^\"]*", html)
    assert addresses == ["href=", "http://www.w3.org/2000/svg"]  # the icon, which is empty, and a name
    assert "default-src &#39;none&#39;" in html
