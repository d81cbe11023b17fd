"""Split files become a table; what is no clip is refused; leaks and duplicates are found."""

import json

import pytest

from visage_lite import clips


def write(folder, **splits):
    for name, lines in splits.items():
        (folder / f"{name}.csv").write_text("\n".join(["file_path", *lines]) + "\n")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(
        tmp_path,
        train=["aaaaaaaaaaa_5.npy", "aaaaaaaaaaa_10.npy", "-_9ZAaaaaaa_0.npy", "aaaaaaaaaaa_5.npy"],
        valid=["bbbbbbbbbbb_52.npy"],
        test=["ccccccccccc_1.npy", "aaaaaaaaaaa_15.npy"],
    )


def test_a_row_says_which_video_and_when(folder):
    table = clips.read_clips(folder).table
    assert list(table.columns) == ["clip", "video_id", "start_s", "split"]
    assert table.loc[2].tolist() == ["-_9ZAaaaaaa_0", "-_9ZAaaaaaa", 0, "train"]
    assert table["split"].value_counts().to_dict() == {"train": 4, "valid": 1, "test": 2}


@pytest.mark.parametrize("name", [
    "../../etc/pass_5.npy", "aaaaaaaaaa_5.npy", "aaaaaaaaaaaa_5.npy", "aaaaaaaaaaa_-5.npy", "aaaaaaaaaaa.npy",
    "aaaaaaaaaaa_5.npy ", "aaaaaaaaaa\u00e9_5.npy", "aaaaaaaaaaa_\u0665.npy", "", "nan", "aaaaaaaaaa;_5.npy",
])
def test_what_is_no_clip_is_refused_and_reported(tmp_path, name):
    write(tmp_path, train=["aaaaaaaaaaa_5.npy", name, "aaaaaaaaaaa_6.npy"])
    found = clips.read_clips(tmp_path, splits=("train",))
    assert found.table["start_s"].tolist() == [5, 6]
    assert found.refused[["split", "line", "text"]].values.tolist() == [["train", 3, name]]
    assert "1 lines refused" in str(found)
    with pytest.raises(ValueError, match="no clip name"):
        clips.parse_name(name)


def test_duplicates_and_videos_in_two_splits_are_found(folder):
    table = clips.read_clips(folder).table
    assert clips.duplicates(table)["clip"].tolist() == ["aaaaaaaaaaa_5"] * 2
    shared = clips.videos_in_two_splits(table)
    assert shared.index.tolist() == ["aaaaaaaaaaa"]
    assert shared.loc["aaaaaaaaaaa", ["test", "train"]].tolist() == [1, 3]


def test_clips_per_video(folder):
    summary = clips.clips_per_video(clips.read_clips(folder).table)
    assert summary.loc["train"].tolist() == [2, 4, 2.0, 3]
    assert summary.loc["all"].tolist() == [4, 7, 1.0, 4]


def test_directions_join_their_clips(folder):
    (folder / "ambi.json").write_text(json.dumps({"aaaaaaaaaaa_5": [44, 44], "bbbbbbbbbbb_52.npy": [0, 180]}))
    table = clips.read_clips(folder).table.set_index("clip")
    left = table.loc["bbbbbbbbbbb_52"]
    assert (left["elevation_deg"], left["azimuth_deg"]) == (89, -181)
    assert table.loc["aaaaaaaaaaa_5", "azimuth_deg"].tolist() == [91, 91]  # left, positive
    assert table.loc["ccccccccccc_1"].isna()["azimuth_deg"]
    (folder / "ambi.json").write_text(json.dumps({"bbbbbbbbbbb_52": [3, 4], "aaaaaaaaaaa_5": [91, 0]}))
    found = clips.read_clips(folder)
    assert found.refused.iloc[-1].tolist()[:3] == ["ambi.json", 2, "aaaaaaaaaaa_5 [91, 0]"]
    assert found.table.set_index("clip").loc["aaaaaaaaaaa_5"]["azimuth_deg"].isna().all()
    (folder / "ambi.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="does not map clips"):
        clips.read_clips(folder)


def test_files_that_are_missing_or_something_else_say_so(tmp_path):
    with pytest.raises(ValueError, match="train.csv is not there"):
        clips.read_clips(tmp_path)
    (tmp_path / "train.csv").write_text("id\naaaaaaaaaaa_5\n")
    with pytest.raises(ValueError, match="no column file_path, but id"):
        clips.read_clips(tmp_path)
    (tmp_path / "train.csv").write_bytes(b"\xff\xfe\x00\x81file")
    with pytest.raises(ValueError):
        clips.read_clips(tmp_path)


def test_the_report_counts_what_is_wrong(folder):
    (folder / "ambi.json").write_text(json.dumps({"bbbbbbbbbbb_52": [3, 4], "aaaaaaaaaaa_5": [91, 0]}))
    found = clips.read_clips(folder)
    report = clips.report(found)
    assert report.loc["lines that are no clip", "count"] == len(found.refused) - 1
    assert report.loc["directions outside the grid"].tolist() == [1, "aaaaaaaaaaa_5 [91, 0]"]
    assert report.loc["clips listed more than once"].tolist() == [1, "aaaaaaaaaaa_5"]
    assert report.loc["videos in two splits", "count"] == len(clips.videos_in_two_splits(found.table))
    assert report.loc["clips without a direction", "count"] == (found.table["clip"] != "bbbbbbbbbbb_52").sum()


def test_the_report_of_sound_files_is_all_zeros(tmp_path):
    for split in clips.SPLITS:
        (tmp_path / f"{split}.csv").write_text(f"file_path\n{split:a<11}_1.npy\n")
    (tmp_path / "ambi.json").write_text(json.dumps({f"{split:a<11}_1": [44, 44] for split in clips.SPLITS}))
    assert clips.report(clips.read_clips(tmp_path))["count"].sum() == 0
