"""A small town: one street with houses, parked cars and the cooperating agents that drive along it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.poses import pose_matrix
from opv2v_doctor.sandbox.raycast import Boxes

Array = NDArray[np.float64]

LANES = (1.75, -1.75)  # metres right of the middle of the street, for agents that drive along and against it
SECONDS_A_FRAME = 0.1
FIRST_AGENT, FIRST_PARKED = 4279, 4406


@dataclass(frozen=True, eq=False)
class Vehicle:
    """A car: its id, its pose `[x, y, z, roll, yaw, pitch]` in frame 0, its half size, its speed in km/h."""

    number: int
    cords: Array  # (6,)
    extent: Array  # (3,)
    speed: float
    colour: Array  # (3,)

    def at(self, frame: int) -> Array:
        """The pose (6,) some frames later: the car drives on, straight ahead."""
        forward = pose_matrix(self.cords)[:3, 0] * [1.0, 1.0, 0.0]
        moved = self.cords.copy()
        moved[:3] += forward * self.speed / 3.6 * SECONDS_A_FRAME * frame
        return moved


@dataclass(frozen=True, eq=False)
class Town:
    """The houses, the agents (which carry sensors) and the other cars of one scenario."""

    houses: Boxes
    agents: tuple[Vehicle, ...]
    parked: tuple[Vehicle, ...]

    @property
    def vehicles(self) -> tuple[Vehicle, ...]:
        """Every car, agents first."""
        return self.agents + self.parked

    def seen_by(self, agent: Vehicle, frame: int) -> Boxes:
        """All that the agent's sensors can meet: its own body is left out, as the simulator does."""
        others = [vehicle for vehicle in self.vehicles if vehicle is not agent]
        return self.houses + Boxes(
            np.stack([body_pose(vehicle.at(frame), vehicle.extent) for vehicle in others]),
            np.stack([vehicle.extent for vehicle in others]),
            np.stack([vehicle.colour for vehicle in others]),
        )


def body_pose(cords: Array, extent: Array) -> Array:
    """Pose (4, 4) of the middle of a car's box, whose `location` lies on the ground."""
    lifted = np.eye(4)
    lifted[2, 3] = extent[2]
    return np.asarray(pose_matrix(cords) @ lifted)


def build_town(random: np.random.Generator, agents: int, tilt: float = 3.0) -> Town:
    """A town anywhere in the world, turned by any angle, with this many agents within 60 m.

    The agents roll and pitch by up to `tilt` degrees.
    """
    place = np.array([*random.uniform(-300, 300, 2), 0.0, 0.0, random.uniform(-180, 180), 0.0])
    street = pose_matrix(place)
    driving = [_agent(random, street, place[4], index, tilt) for index in range(agents)]
    standing = [_parked(random, street, place[4], index) for index in range(4)]
    return Town(_houses(random, street), tuple(driving), tuple(standing))


def _agent(random: np.random.Generator, street: Array, street_yaw: float, index: int, tilt: float) -> Vehicle:
    along = index % 2 == 0
    start = np.array([11.0 * (index - 2) + random.uniform(-2, 2), LANES[index % 2], 0.0, 1.0])
    tilts = random.uniform(-tilt, tilt, 2)
    yaw = street_yaw + (0.0 if along else 180.0) + random.uniform(-4, 4)
    position = [*(street @ start)[:2], random.uniform(0.0, 0.05)]
    cords = np.array([*position, tilts[0], _wrapped(yaw), tilts[1]])
    extent = np.array([2.45, 1.06, 0.75]) * random.uniform(0.92, 1.0)
    return Vehicle(FIRST_AGENT + 9 * index, cords, extent, random.uniform(15, 40), random.uniform(40, 230, 3))


def _parked(random: np.random.Generator, street: Array, street_yaw: float, index: int) -> Vehicle:
    side = 5.0 if index % 2 else -5.0
    start = np.array([16.0 * (index - 1.5) + random.uniform(-3, 3), side, 0.0, 1.0])
    cords = np.array([*(street @ start)[:3], 0.0, _wrapped(street_yaw + random.uniform(-3, 3)), 0.0])
    extent = np.array([2.1, 0.95, 0.78])
    return Vehicle(FIRST_PARKED + 3 * index, cords, extent, 0.0, random.uniform(40, 230, 3))


def _houses(random: np.random.Generator, street: Array) -> Boxes:
    """Two rows of houses with gaps between them, and one across each end of the street."""
    places = [
        (x, side * random.uniform(17, 20), 0.0) for x in np.arange(-60.0, 61.0, 20.0) for side in (-1, 1)
    ]
    places += [(-85.0, 0.0, 90.0), (85.0, 0.0, 90.0)]
    poses, extents = [], []
    for x, y, yaw in places:
        extent = np.array([random.uniform(6.0, 9.0), random.uniform(4.0, 6.0), random.uniform(3.0, 9.0)])
        extent[0] = 25.0 if yaw else extent[0]
        poses.append(street @ pose_matrix([x, y, extent[2], 0.0, yaw, 0.0]))
        extents.append(extent)
    return Boxes(np.stack(poses), np.stack(extents), random.uniform(90, 220, (len(places), 3)))


def _wrapped(degrees: float) -> float:
    """The angle in (-180, 180]."""
    return float(-((-degrees + 180.0) % 360.0 - 180.0))
