"""The page of a point cloud in a real browser, without a network: it draws, and its controls work."""

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from opv2v_doctor.figures.point_cloud import (
    INPUT,
    LIDAR,
    PREDICTION,
    TRUTH,
    AgentCloud,
    Camera,
    Cloud,
    InitialChoice,
    Scene,
    SeenImage,
    write_page,
)
from opv2v_doctor.text import quoted
from tests.figures.looks import faint_texts, hangs_over, opened, overlaps, turn_theme

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: make test")
WINDOW = (1100, 760)
RED, HIDDEN_BLUE, SKY = (230, 20, 20), (20, 20, 230), (120, 20, 200)
NAME = "<b>-1</b>"
ASIDE = 3.0  # metres that the predicted pose of the second agent is off


def wall(ahead: float, colour: tuple[int, int, int], masks: int, wrong: float | None = None) -> Cloud:
    """A wall of points before an agent, whose depth is wrong by so much where that is known."""
    x, y = np.meshgrid(np.linspace(-5, 5, 21), np.linspace(-3, 1, 9))
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, ahead)], -1)
    colours = np.tile(np.array(colour, np.uint8), (x.size, 1))
    told = np.full(x.size, np.nan if wrong is None else wrong)
    return Cloud(
        points=points,
        colours=colours,
        masks=np.full(x.size, masks, np.uint8),
        pixels=np.arange(x.size),
        errors=told,
    )


def joined(one: Cloud, other: Cloud) -> Cloud:
    parts = {f.name: [getattr(each, f.name) for each in (one, other)] for f in fields(Cloud)}
    return Cloud(**{name: np.concatenate(both) for name, both in parts.items()})


def seen() -> SeenImage:
    """What one camera sees: four pixels."""
    rays = np.array([[[x, y, 1.0] for x in (-0.5, 0.5)] for y in (-0.4, 0.4)])
    return SeenImage(rays=rays, colours=np.full((2, 2, 3), 200, np.uint8), is_round=False)


def scene() -> Scene:
    """Two agents: the predicted mask leaves a red wall and hides a blue one."""
    here, there, predicted = np.eye(4), np.eye(4), np.eye(4)
    there[2, 3] = predicted[2, 3] = 4.0
    predicted[0, 3] = ASIDE
    clouds = {
        PREDICTION: joined(wall(12, RED, 7, -2.0), joined(wall(9, HIDDEN_BLUE, 6, 1.0), wall(20, SKY, 1))),
        TRUTH: wall(14, RED, 2),
        LIDAR: Cloud(points=wall(16, RED, 0).points),
    }
    agents = [
        AgentCloud(
            name="641",
            poses={PREDICTION: here, TRUTH: here, INPUT: here},
            clouds=clouds,
            width=21,
            seen=seen(),
        ),
        AgentCloud(name=NAME, poses={PREDICTION: predicted, TRUTH: there, INPUT: there}, clouds=clouds),
    ]
    rows = [["641", "0"], [NAME, f"{ASIDE:g}"]]
    return Scene(
        title=NAME,
        agents=agents,
        answer=[quoted(NAME), quoted("fix the poses first")],
        notes=[NAME],
        columns=["agent", "off"],
        rows=rows,
        scale=2.0,
    )


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("page") / "cloud.html"
    write_page(path, scene(), InitialChoice(size=6))
    return opened(browser, path)


def drawn(page: Any) -> Any:
    """The page after all that it still has to draw."""
    page.execute_async_script(
        "const done = arguments[0]; drawing.then(() => requestAnimationFrame(() => done()))"
    )
    return page


def settle(page: Any, key: str, value: str) -> None:
    """Choose in one of the page's lists."""
    page.execute_script(
        "const box = document.getElementById(arguments[0]); box.value = arguments[1];"
        "box.dispatchEvent(new Event('change'))",
        key,
        value,
    )
    drawn(page)


def click(page: Any, selector: str) -> None:
    page.execute_script("arguments[0].click()", page.find_element("css selector", selector))
    drawn(page)


def pixels(page: Any, colour: tuple[int, int, int]) -> int:
    """How many pixels of the screen are about of a colour."""
    png = np.frombuffer(page.get_screenshot_as_png(), np.uint8)
    decoded = cv2.imdecode(png, cv2.IMREAD_COLOR)
    assert decoded is not None
    picture: NDArray[np.int16] = decoded[..., ::-1].astype(np.int16)
    return int((np.abs(picture - np.array(colour)).max(-1) < 30).sum())


def traces(page: Any, expression: str, layer: str = "cloud") -> Any:
    """Something about each trace of points of a layer; of all without one."""
    return page.execute_script(
        "return document.getElementById('cloud').data.filter((t) => t.shown && t.shown.layer.startsWith("
        f"{layer!r})).map((t) => {expression})"
    )


def eye(page: Any) -> Any:
    return page.execute_script("return toMetres(document.getElementById('cloud').layout.scene.camera.eye)")


def test_the_points_that_the_mask_leaves_are_drawn(page: Any) -> None:
    assert pixels(page, RED) > 500
    assert pixels(page, HIDDEN_BLUE) == 0
    assert "points drawn: 756" in page.find_element("id", "status").text  # and as many true ones
    assert "hidden by the mask or as sky: 67 %" in page.find_element("id", "status").text


def test_what_has_no_true_depth_is_sky_and_cut(page: Any) -> None:
    assert len(traces(page, "t.name", "")) == 4
    before = traces(page, "t.x.length")[0]
    click(page, "#rest input[name='sky']")
    assert traces(page, "t.x.length")[0] == before + 189
    click(page, "#rest input[name='sky']")


def test_a_point_says_its_agent_pixel_depth_and_error(page: Any) -> None:
    page.execute_script(
        "const data = document.getElementById('cloud').data.find((t) => t.shown);"
        "document.getElementById('cloud').emit('plotly_click', { points: [{ data, pointNumber: 25 }] })"
    )
    told = page.find_element("id", "picked").text
    assert told.splitlines()[0] == "agent 641 · predicted · column 4, row 1"
    assert told.splitlines()[1].startswith("range 12.6") and told.endswith("error −2 m")


def test_names_do_not_cover_each_other_from_anywhere(page: Any) -> None:
    settle(page, "pose", INPUT)
    for name in ("top", "ego", "chase"):
        click(page, f"#views button[value='{name}']")
        page.execute_async_script("look(state.view).then(() => requestAnimationFrame(arguments[0]))")
        page.execute_script("overlay(true)")
        assert overlaps(page, "#names span") == []
    assert [one.text for one in page.find_elements("css selector", "#names span")] == ["641", NAME]
    settle(page, "pose", PREDICTION)


def test_lengths_can_be_read(page: Any) -> None:
    bar = page.find_element("css selector", "#bar")
    metres = int(bar.text.split(" m ")[0])
    wide = bar.find_element("css selector", "i").rect["width"]
    moved = page.execute_script(
        "const scene = document.getElementById('cloud')._fullLayout.scene._scene;"
        "const at = toMetres(scene.getCamera().center), beside = [at[0] + arguments[0], at[1], at[2]];"
        "return onScreen(scene, beside)[0] - onScreen(scene, at)[0]",
        metres,
    )
    assert wide == pytest.approx(moved, rel=0.03)
    lines = page.execute_script(
        "const isGrid = (t) => t.mode === 'lines' && t.line.width === 1;"
        "return document.getElementById('cloud').data.filter(isGrid)[0].x"
    )
    assert {10, 0, -10} & set(lines)


def test_without_a_mask_all_points_are_drawn(page: Any) -> None:
    settle(page, "mask", "none")
    assert pixels(page, HIDDEN_BLUE) > 500
    settle(page, "mask", PREDICTION)


def test_points_are_where_the_chosen_pose_puts_them(page: Any) -> None:
    predicted = traces(page, "[t.x[0], t.y[0], t.z[0]]")
    settle(page, "pose", TRUTH)
    true = traces(page, "[t.x[0], t.y[0], t.z[0]]")
    settle(page, "pose", PREDICTION)
    assert predicted[0] == pytest.approx([-5, 12, 3], abs=0.01)  # right, ahead and up
    assert predicted[1] == pytest.approx([-5 + ASIDE, 16, 3], abs=0.01)
    assert true[1] == pytest.approx([-5, 16, 3], abs=0.01)


def test_depth_comes_from_the_chosen_source(page: Any) -> None:
    settle(page, "depth", LIDAR)
    assert traces(page, "t.y[0]")[0] == pytest.approx(16, abs=0.01)
    settle(page, "depth", PREDICTION)


def test_layers_and_agents_can_be_switched(page: Any) -> None:
    assert len(traces(page, "t.name", "")) == 4
    click(page, "#layers input[name='lidar']")
    assert len(traces(page, "t.name", "")) == 6
    click(page, "#agents input[name='641']")
    assert len(traces(page, "t.name", "")) == 3
    click(page, "#agents input[name='641']")
    click(page, "#layers input[name='lidar']")
    click(page, "#layers input[name='truth']")
    assert len(traces(page, "t.name", "")) == 2
    click(page, "#layers input[name='truth']")


@pytest.mark.parametrize("colour", ["error", "agent", "height", "distance"])
def test_colours_can_tell_something_else(page: Any, colour: str) -> None:
    settle(page, "colour", colour)
    assert pixels(page, RED) < 50  # a scale has some of it
    settle(page, "colour", "rgb")
    assert pixels(page, RED) > 500


def test_the_right_scale_can_be_tried(page: Any) -> None:
    click(page, "#fit")
    assert traces(page, "[t.x[0], t.y[0]]")[1] == pytest.approx([2 * (-5 + ASIDE), 2 * 16], abs=0.01)
    click(page, "#fit")


def test_presets_move_the_camera_and_tell_it_as_options(page: Any) -> None:
    for name, height in (("top", 40), ("ego", 0.1), ("chase", 13)):
        click(page, f"#views button[value='{name}']")
        page.execute_async_script("look(state.view).then(arguments[0])")
        assert eye(page)[2] >= height - 0.01
        assert f"{eye(page)[2]:.1f}" in page.find_element("id", "camera").text


def test_compared_poses_stand_side_by_side(page: Any) -> None:
    click(page, "#compare")
    assert page.execute_script("return sceneNames") == ["scene", "scene2", "scene3"]
    assert [t[1] for t in traces(page, "[t.scene, t.x[0]]")][1] == pytest.approx(-5 + ASIDE, abs=0.01)
    assert set(traces(page, "t.scene")) == {"scene", "scene2", "scene3"}
    click(page, "#compare")
    assert page.execute_script("return sceneNames") == ["scene"]


def test_names_are_text_and_no_markup(page: Any) -> None:
    assert page.find_element("css selector", "h1").text == NAME
    assert not page.find_elements("css selector", "b")
    assert NAME in page.find_element("css selector", "thead").text


def test_the_answer_is_on_top_and_the_errors_are_open(page: Any) -> None:
    assert page.find_element("css selector", "header .answer").text == "fix the poses first"
    assert page.find_element("css selector", "aside table").is_displayed()


def test_the_plot_fills_its_place_whatever_the_window(page: Any) -> None:
    for width, height in ((420, 900), (1200, 700), WINDOW):
        page.set_window_size(width, height)
        time.sleep(0.3)
        wide, plot = drawn(page).execute_script(
            "return [document.getElementById('cloud').clientWidth,"
            "document.querySelector('#cloud .svg-container').clientWidth]"
        )
        assert plot == pytest.approx(wide, abs=2)
        assert hangs_over(page) <= 0


def test_everything_can_be_read_in_the_light_and_in_the_dark(page: Any) -> None:
    for _ in range(2):
        turn_theme(page)
        assert faint_texts(drawn(page)) == []


def test_dark_and_light_differ(page: Any) -> None:
    before = page.find_element("css selector", "body").value_of_css_property("background-color")
    click(page, "#theme")
    after = page.find_element("css selector", "body").value_of_css_property("background-color")
    click(page, "#theme")
    assert before != after


def test_the_console_is_silent(page: Any) -> None:
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_given_camera_and_sources_open_the_page(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "given.html"
    camera = Camera(eye=(10.0, -5.0, 20.0), center=(0.0, 5.0, 0.0))
    write_page(
        path, scene(), InitialChoice(pose=TRUTH, depth=TRUTH, mask="none", colour="height", camera=camera)
    )
    opened(page, path)
    assert eye(page) == pytest.approx([10, -5, 20], abs=0.01)
    assert traces(page, "t.y[0]") == pytest.approx([14, 18], abs=0.01)
    assert page.find_element("id", "depth").get_attribute("value") == TRUTH
