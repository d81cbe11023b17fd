"""Thirty seconds of what visage_lite does: writes data/hear/hear.mp4 (to hear with headphones) and hear.png.

Everything is made by the toy model from silent drawn videos, at one gain for the whole film, with seeds stated here.
Six parts of five seconds; `python data/hear/make_hear.py` prints how much louder the left ear is in each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import av
import matplotlib.pyplot as plt
import numpy as np
import soxr

from visage_lite import ambisonics
from visage_lite.binaural import head_stems
from visage_lite.directions import Direction, angles
from visage_lite.listening import gain_for
from visage_lite.media import write_video
from visage_lite.panorama import view_rays
from visage_lite.pipeline import Models, load_models, video_to_ambisonics
from visage_lite.scenes import Scene, make_scene
from visage_lite.streams import atomic

FOLDER = Path(__file__).parent
SECONDS, FPS, SOUND_RATE = 5.0, 10, 48000
BELL, SIREN, BIRD = 147, 709, 20  # seeds of scenes; the toy model has not seen them
INK, GROUND, CAMERA, TRUE, HEARD = "#e6e9ec", "#10131a", "#f0e442", "#56b4e9", "#f0e442"


@dataclass
class Part:
    """Five seconds: what is said, the scene, the field [4, N], and where head and camera look at each frame."""

    words: str
    scene: Scene
    foa: np.ndarray
    head: np.ndarray  # yaw of the head at each frame, radians, left positive
    cameras: list[Direction]
    turned: np.ndarray  # radians by which the told camera differs from the scene's, at each frame


def generated(scene: Scene, camera: Direction, models: Models) -> np.ndarray:
    """What the toy model hears in the silent view of a scene when it is told that the camera looks there: [4, N]."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "part.mp4"
        write_video(video, scene.view(), scene.video_rate)
        return video_to_ambisonics(video, camera, models, seed=0, progress=False).foa


def parts(models: Models) -> list[Part]:
    """The six parts."""
    frames = round(SECONDS * FPS)
    still, times = np.zeros(frames), np.arange(frames) / FPS
    bell, bird = make_scene(BELL), make_scene(BIRD, moving=False)
    siren = make_scene(SIREN, kind="siren", moving=True)
    bell_foa, siren_foa = (generated(scene, scene.camera, models) for scene in (bell, siren))
    to_bell = float(bell.azimuth(0)) * np.clip((times - 1) / 2, 0, 1)
    follow = np.array([float(siren.azimuth(t)) for t in times])
    sides = [Direction(side * np.pi / 2, bird.camera.elevation) for side in (1, -1)]
    half = bell_foa.shape[1] // 2
    left, right = (generated(bird, side, models) for side in sides)
    mono = siren_foa * np.array([1.0, 0, 0, 0])[:, None]
    told = np.repeat([side.azimuth - bird.camera.azimuth for side in sides], frames // 2)
    own = [[scene.camera] * frames for scene in (bell, siren)]
    return [
        Part("A silent video and its camera's direction go in; this comes out. The bell is on your left.",
             bell, bell_foa, still, own[0], still),
        Part("Turn your head to the bell: now both ears hear it alike.", bell, bell_foa, to_bell, own[0], still),
        Part("Another silent video: a siren that moves from left to right.", siren, siren_foa, still, own[1], still),
        Part("Follow it with your head, and it stays in front of you.", siren, siren_foa, follow, own[1], still),
        Part("The same picture twice: we say that the camera looks left, then right. The sound goes along.", bird,
             np.concatenate([left[:, :half], right[:, half:]], axis=1), still,
             [sides[0]] * (frames // 2) + [sides[1]] * (frames // 2), told),
        Part("The siren without directions (mono), and then again with them.", siren,
             np.concatenate([mono[:, :half], siren_foa[:, half:]], axis=1), still, own[1], still),
    ]


def ears(part: Part, rate: int) -> np.ndarray:
    """What the two ears hear while the head turns: [2, N]."""
    middle, side, front = head_stems(part.foa, rate)
    yaw = np.interp(np.arange(len(middle)) / rate, np.arange(len(part.head)) / FPS, np.unwrap(part.head))
    turned = np.cos(yaw) * side - np.sin(yaw) * front
    fade = np.clip(np.minimum(np.arange(len(middle)), len(middle) - 1 - np.arange(len(middle))) / (0.02 * rate), 0, 1)
    return np.stack([middle + turned, middle - turned]) * fade


class Film:
    """One figure whose pictures are changed from frame to frame."""

    def __init__(self) -> None:
        self.figure = plt.figure(figsize=(9.6, 4.32), dpi=100, facecolor=GROUND)
        self.words = self.figure.text(0.5, 0.935, "", color=INK, fontsize=13.5, ha="center", va="center")
        view, sphere, meters = (self.figure.add_axes(box) for box in
                                ([0.015, 0.335, 0.235, 0.522], [0.285, 0.12, 0.68, 0.737], [0.085, 0.1, 0.165, 0.13]))
        self.figure.text(0.1325, 0.275, "the silent video", color=INK, fontsize=10.5, ha="center")
        key = (("○", TRUE, "the thing"), ("●", HEARD, "its sound"), ("□", CAMERA, "what the camera sees"),
               ("▲", "white", "your nose"), ("", "white", "how loud from there"))
        for place, (mark, colour, what) in zip((0.30, 0.40, 0.50, 0.68, 0.79), key):
            self.figure.text(place, 0.028, mark, color=colour, fontsize=11, ha="right")
            self.figure.text(place + 0.008, 0.03, what, color=INK, fontsize=9.5)
        glow = self.figure.add_axes([0.755, 0.028, 0.032, 0.03])
        glow.imshow(np.linspace(0, 1, 32)[None], cmap="magma", aspect="auto")
        glow.set_axis_off()
        self.view = view.imshow(np.zeros((224, 224, 3), np.uint8))
        extent = (180, -180, -90, 90)
        self.sphere = sphere.imshow(np.zeros((256, 512, 3), np.uint8), extent=extent, aspect="auto")
        self.energy = sphere.imshow(np.zeros((90, 180)), extent=extent, aspect="auto", cmap="magma", vmin=0, vmax=1,
                                    interpolation="bilinear")
        self.edge, = sphere.plot([], [], ".", color=CAMERA, ms=1.6)
        self.true, = sphere.plot([], [], "o", mfc="none", mec=TRUE, mew=2.2, ms=15)
        self.heard, = sphere.plot([], [], "o", mfc=HEARD, mec="#0008", ms=7)
        self.nose, = sphere.plot([], [], "^", color="white", ms=12, clip_on=False, mec="#0008")
        sphere.set(xlim=(180, -180), ylim=(-90, 90), yticks=[])
        sphere.set_xticks([180, 90, 0, -90, -180], ["behind", "left", "front", "right", "behind"], color=INK)
        self.bars = meters.barh([1, 0], [0, 0], color=["#56b4e9", "#56b4e9"], height=0.55)
        meters.set(xlim=(0, 1), ylim=(-0.6, 1.6), xticks=[])
        meters.set_yticks([1, 0], ["left ear", "right ear"], color=INK)
        for axes in (view, sphere, meters):
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        view.set_axis_off()
        meters.set_facecolor("#1d222b")

    def draw(self) -> np.ndarray:
        """The frame as uint8 [H, W, 3]."""
        self.figure.canvas.draw()
        return np.asarray(self.figure.canvas.buffer_rgba())[..., :3].copy()


def pictures(part: Part, sound: np.ndarray, rate: int, film: Film) -> Iterator[np.ndarray]:
    """The frames of a part, drawn as they are asked for. Args: sound: its ears [2, N] at the common gain."""
    spheres, views = part.scene.panorama(512, 256), part.scene.view()
    window, step = round(0.2 * rate), round(rate / FPS)
    loudest = max(float(ambisonics.energy_map(part.foa[:, at : at + window]).max()) for at in
                  range(0, part.foa.shape[1] - window, step))
    for index, (yaw, camera, turned) in enumerate(zip(part.head, part.cameras, part.turned)):
        t, at = index / FPS, round(index / FPS * rate)
        frame = min(int(t * part.scene.video_rate), len(views) - 1)
        now = part.foa[:, at : at + window]
        level = ambisonics.energy_map(now)
        true = Direction(float(part.scene.azimuth(t)), float(part.scene.elevation(t))).rotated(turned)
        flow = ambisonics.intensity_direction(now)
        film.words.set_text(part.words)
        film.view.set_data(views[frame])
        film.sphere.set_data(np.roll(spheres[frame], -round(turned / (2 * np.pi) * 512), axis=1) // 2 + 40)
        share = np.sqrt(np.clip(level / loudest, 0, 1))  # nearer to how loud it is heard
        film.energy.set_data(share)
        film.energy.set_alpha(0.85 * np.clip(level / (level.max() or 1), 0, 1) ** 2 * share)
        rays = view_rays(camera, 90.0, 60)
        edge = np.concatenate([rays[0], rays[-1], rays[:, 0], rays[:, -1]])
        film.edge.set_data(*np.degrees(angles(edge)))
        film.true.set_data([true.azimuth_deg], [true.elevation_deg])
        found = Direction.from_vector(flow) if np.any(flow) and level.max() > 0.05 * loudest else None
        film.heard.set_data(*(([found.azimuth_deg], [found.elevation_deg]) if found else ([], [])))
        film.nose.set_data([np.degrees(yaw)], [-84])
        for bar, ear in zip(film.bars, sound[:, at : at + window]):
            bar.set_width(np.clip(1 + 20 * np.log10(np.sqrt(np.mean(ear**2)) + 1e-9) / 48, 0, 1))
        yield film.draw()


def write(path: Path, frames: list[np.ndarray], sound: np.ndarray, rate: int) -> None:
    """H.264 with stereo AAC, whole or not at all; `sound` [2, N] within [-1, 1]."""
    options = {"movflags": "faststart"}
    with atomic(path) as temporary, av.open(str(temporary), "w", format="mp4", options=options) as out:
        picture = out.add_stream("libx264", rate=FPS, options={"crf": "27", "preset": "slow", "tune": "animation"})
        picture.height, picture.width = frames[0].shape[:2]
        picture.pix_fmt = "yuv420p"
        stereo = out.add_stream("aac", rate=rate, layout="stereo")
        stereo.bit_rate = 128_000
        for frame in frames:
            out.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(picture.encode(None))
        for start in range(0, sound.shape[1], 1024):
            piece = np.ascontiguousarray(sound[:, start : start + 1024], np.float32)
            block = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            block.sample_rate, block.pts = rate, start
            out.mux(stereo.encode(block))
        out.mux(stereo.encode(None))


def main() -> None:
    """Generates, draws and writes, and says how much louder the left ear is in each part."""
    models = load_models("toy")
    rate, six = models.codec.sample_rate, parts(models)
    heard = [ears(part, rate) for part in six]
    gain = gain_for(max(float(np.abs(sound).max()) for sound in heard))
    film, frames = Film(), []
    for number, (part, sound) in enumerate(zip(six, heard)):
        frames += pictures(part, gain * sound, rate, film)
        halves = np.split(sound, 2, axis=1)
        louder = [10 * np.log10(np.sum(half[0] ** 2) / np.sum(half[1] ** 2)) for half in halves]
        print(f"{number * 5:2d} s  left ear {louder[0]:+.1f} dB, then {louder[1]:+.1f} dB  {part.words}", flush=True)
    words = "A silent video and its camera's direction go in; sound from all around comes out."
    *_, still = islice(pictures(replace(six[2], words=words), gain * heard[2], rate, film), 5)
    plt.imsave(FOLDER / "hear.png", still)
    joined = soxr.resample(gain * np.concatenate(heard, axis=1).T, rate, SOUND_RATE).T
    write(FOLDER / "hear.mp4", frames, np.clip(joined, -1, 1), SOUND_RATE)
    for name in ("hear.mp4", "hear.png"):
        print(f"{name}: {(FOLDER / name).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
