"""The files of one generated sound field: four channels, headphones, video, player, picture. All of them or none."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from visage_lite import plots
from visage_lite.ambisonics import energy_map
from visage_lite.binaural import binauralise
from visage_lite.directions import Direction
from visage_lite.listener import SAMPLE_RATE, hear_kinds, load_listener
from visage_lite.listening import LONGEST_S
from visage_lite.media import MediaError, mux, write_foa
from visage_lite.pipeline import Generated
from visage_lite.player import FOAPlayer
from visage_lite.scenes import TOY_KINDS
from visage_lite.streams import atomic

LOW_HZ = 300.0  # below this both ears hear a source alike but for the time between them


@contextmanager
def staged(folder: str | Path) -> Iterator[Path]:
    """Yields an empty temporary folder inside `folder`, which is made if missing; at the end its files move there.

    On any failure nothing stays behind, not even a folder that was made.

    Raises: MediaError if the folder cannot be made or written.
    """
    folder = Path(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    temporary = folder / f".{secrets.token_hex(6)}.tmp"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in sorted(temporary.iterdir()):
            file.replace(folder / file.name)
        made = []
    except MediaError as error:
        raise MediaError(str(error).replace(f"{temporary.name}/", "")) from error
    except OSError as error:
        reason = error.strerror or error
        raise MediaError(f"{folder}: cannot be written ({reason}); choose a folder you may write to") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for each in made:
            with suppress(OSError):
                each.rmdir()


def write_pieces(path: str | Path, pieces: Iterable[np.ndarray], rate: int) -> None:
    """Writes a sound field that comes in pieces, such as from `long_video.stream`, as a 4-channel float32 WAV.

    Whole or not at all, and without holding more than one piece.

    Args:
        path: `.wav` in an existing folder. pieces: float [4, n] each.
        rate: Hz.
    Raises: MediaError if the folder cannot be written.
    Notebook: 05_generation.
    """
    with atomic(path) as temporary, open(temporary, "wb") as file:
        with soundfile.SoundFile(file, "w", rate, 4, "FLOAT", format="WAV") as wav:
            for piece in pieces:
                wav.write(piece.T)


def write_outputs(generated: Generated, video: str | Path, folder: str | Path) -> dict[str, str]:
    """Writes what was generated for `video` into `folder`, named after the video.

    Returns: {file name: what it is}, for `_foa.wav` (4 channels), `_binaural.wav` (stereo), `_spatial.mp4` (the video's
        picture with ambisonic Opus), `_player.html` (look around, the sound turns along) and `_energy.png`.

    Raises: MediaError as `media.write_foa` and `media.mux`.
    Notebook: 00_quickstart.
    """
    folder, name, foa, rate = Path(folder), Path(video).stem, generated.foa, generated.rate
    write_foa(folder / f"{name}_foa.wav", foa, rate)
    stereo, note = _fitted(binauralise(foa, rate))
    soundfile.write(folder / f"{name}_binaural.wav", stereo.T, rate, subtype="PCM_16")
    fitting, lowered = _fitted(foa)
    copied = mux(video, fitting, rate, folder / f"{name}_spatial.mp4", generated.view.video.start_s)
    of_toy = f", with the sound of a toy model that knows {len(TOY_KINDS)} drawn things" if is_toy(generated) else ""
    look_around(generated).save_html(folder / f"{name}_player.html", title=Path(video).name + of_toy)
    picture(generated).savefig(folder / f"{name}_energy.png")
    first = f" (its first {LONGEST_S:.0f} s)" if foa.shape[1] > LONGEST_S * rate else ""
    return {
        f"{name}_foa.wav": f"4 channels W, Y, Z, X (ambiX), {rate} Hz, {foa.shape[1] / rate:.2f} s, float32",
        f"{name}_binaural.wav": f"for headphones{note}",
        f"{name}_spatial.mp4": f"picture {'copied' if copied else 'encoded again'}, 4-channel ambisonic Opus{lowered}",
        f"{name}_player.html": f"open it in a browser: look around, and the sound turns with your head{first}",
        f"{name}_energy.png": "where the sound comes from",
    }


def look_around(generated: Generated) -> FOAPlayer:
    """A 360 degree player of the first minute, with what the camera saw; of a panorama, its middle frame.

    Notebook: 00_quickstart.
    """
    view, seconds = generated.view, min(generated.foa.shape[1] / generated.rate, LONGEST_S)
    label = "made by the toy model" if is_toy(generated) else "generated"
    sound = {label: generated.foa[:, : round(seconds * generated.rate)]}
    if view.panorama is None:
        frames = view.frames[: max(1, round(seconds * view.video.rate))]
        return FOAPlayer(sound, generated.rate, view=frames, camera=view.camera, video_rate=view.video.rate)
    player = FOAPlayer(sound, generated.rate, panorama=view.panorama)
    player.yaw, player.pitch = view.camera.azimuth, view.camera.elevation
    return player


def _fitted(sound: np.ndarray) -> tuple[np.ndarray, str]:
    """The sound within [-1, 1], lowered as a whole if it must be, and a remark that says so."""
    peak = float(np.abs(sound).max())
    if peak <= 1:
        return sound, ""
    return sound / peak, f", lowered by {20 * np.log10(peak):.1f} dB so that it does not clip"


def loudest(foa: np.ndarray) -> Direction:
    """The direction in which the energy map of a field peaks."""
    levels = energy_map(foa)
    row, column = np.unravel_index(levels.argmax(), levels.shape)
    return Direction.from_pixel(column + 0.5, row + 0.5, levels.shape[1], levels.shape[0])


def found(generated: Generated) -> str:
    """One line on where the generated sound comes from."""
    if generated.direction is None:
        return "sound: silent, or from everywhere alike: no direction"
    mean, peak, camera = generated.direction, loudest(generated.foa), generated.view.camera
    off_deg = np.degrees(mean.angle_to(camera))
    return (
        f"sound: from {_degrees(mean)} on average, loudest at {_degrees(peak)}; "
        f"the camera looks to {_degrees(camera)}, {off_deg:.0f} degrees away"
    )


def is_toy(generated: Generated) -> bool:
    """Whether the sound came out of the toy codec, and so of a model that knows drawn things only."""
    return generated.view.preset.codec.kind == "toy"


def character(generated: Generated) -> list[str]:
    """What the sound is like, in lines: what a toy model plays, and whether it is too low to be placed by level."""
    said, w = [], np.asarray(generated.foa[0], np.float32)
    if is_toy(generated) and generated.rate == SAMPLE_RATE and w.any():
        heard, = hear_kinds(load_listener(), w[None]).kinds
        known = ", ".join(TOY_KINDS)
        said.append(f"sound: most like {heard}; the toy model knows {known}, and plays one of them whatever is filmed")
    power = np.cumsum(np.abs(np.fft.rfft(w)) ** 2)
    highest_hz = np.searchsorted(power, 0.9 * power[-1]) * generated.rate / len(w)
    if w.any() and highest_hz < LOW_HZ:
        said.append(f"sound: low, 90 % of it below {highest_hz:.0f} Hz: its direction is heard by the time between the "
                    "ears only, hardly by level; use headphones, or look at the player")
    return said


def _degrees(direction: Direction) -> str:
    azimuth_deg = round(direction.azimuth_deg)
    side = f" ({'left' if azimuth_deg > 0 else 'right'})" if 0 < abs(azimuth_deg) < 180 else ""
    return f"azimuth {azimuth_deg:+d}{side} elevation {direction.elevation_deg:+.0f}"


def picture(generated: Generated) -> Figure:
    """What stands out in the view, the sound over the view, and the sound over the whole sphere.

    Notebook: 00_quickstart.
    """
    figure = Figure(figsize=(8, 6.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(wspace=0.08)
    places = figure.subplot_mosaic([["seen", "heard"], ["sphere", "sphere"]])
    view, levels = generated.view, energy_map(generated.foa)
    middle = len(view.frames) // 2
    plots.energy_over_view(view.frames[middle], generated.energy_map[middle], ax=places["seen"])
    plots.energy_over_view(view.frames[middle], levels, view.camera, view.preset.fov_deg, ax=places["heard"])
    plots.energy_map(levels, ax=places["sphere"], direction=view.camera, panorama=view.panorama)
    places["seen"].set_title("in: the silent video, and what stands out in it (need not sound)", fontsize=9)
    places["heard"].set_title("out: where the sound comes from, as the camera sees it", fontsize=9)
    places["heard"].set_ylabel("")
    places["sphere"].set_title("out: the sound all around (ring: where the camera looks)", fontsize=9)
    return figure
