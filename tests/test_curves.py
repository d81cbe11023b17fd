"""Loss curves and attention weights: what is drawn, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from visage_lite.curves import attention_weights, live_losses, loss_curves, loss_parts


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_curves_are_the_columns_of_the_logs(tmp_path):
    table = pd.DataFrame({"step": [10, 20, 30], "loss": [88.0, 60.0, 40.0], "later": [5.5, 5.0, 4.0]})
    table.to_csv(tmp_path / "log.csv", index=False)
    ax = loss_curves({"a run": tmp_path / "log.csv", "another": table / 2}, "later", chance=5.54)
    assert [line.get_ydata().tolist() for line in ax.lines[:2]] == [[5.5, 5.0, 4.0], [2.75, 2.5, 2.0]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a run", "another"]
    assert ax.get_xlabel() == "training step" and "nats" in ax.get_ylabel()
    same = plt.subplots()[1]
    assert loss_curves({"a run": table}, ax=same) is same
    with pytest.raises(ValueError, match="no column 'wer'"):
        loss_curves({"a run": table}, "wer")


def log_of(first_w, first_others=None, later=4.0):
    steps = [10 * (i + 1) for i in range(len(first_w))]
    table = pd.DataFrame({"step": steps, "loss": 50.0, "first_w": first_w, "later": later})
    return table if first_others is None else table.assign(first_others=first_others)


def test_parts_of_one_run():
    ax = loss_parts(log_of([5.0, 4.0, 3.0]), chance=5.5)
    assert [line.get_label() for line in ax.lines[:2]] == ["book 0 of W", "later books"]
    assert ax.lines[0].get_xdata().tolist() == [10, 20, 30] and ax.lines[0].get_ydata().tolist() == [5.0, 4.0, 3.0]
    assert ax.get_ylim()[0] == 0 and "nats" in ax.get_ylabel()
    with pytest.raises(ValueError, match="none of the columns"):
        loss_parts(pd.DataFrame({"step": [1], "loss": [2.0]}))


@pytest.mark.parametrize("counts_on", [False, True])
def test_stages_of_any_name_follow_each_other(counts_on):
    mono, then = log_of([5.0, 4.0]).assign(stage="mono"), log_of([3.0, 2.0], [5.0, 4.0]).assign(stage="a stage")
    table = pd.concat([mono, then.assign(step=then["step"] + 20 * counts_on)], ignore_index=True)
    ax = loss_parts(table)
    curves = {line.get_label(): line for line in ax.lines}
    assert curves["book 0 of W"].get_xdata().tolist() == [10, 20, 30, 40]
    assert np.isnan(curves["book 0 of Y, Z, X"].get_ydata()[:2]).all(), "mono has no Y, Z, X"
    assert [text.get_text().strip() for text in ax.texts] == ["mono", "a stage"]
    assert [line.get_xdata()[0] for line in ax.lines[3:]] == [0, 20], "lines where they begin"


def test_a_live_plot_is_one_figure_drawn_anew(tmp_path, monkeypatch):
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(figure)

    def display(figure, display_id):
        shown.append(figure)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    show = live_losses(tmp_path, chance=5.5)
    for rows in (1, 2, 3):
        log_of([5.0, 4.0, 3.0][:rows]).to_csv(tmp_path / "log.csv", index=False)
        show(10 * rows)
    assert [figure.axes[0].lines[0].get_xdata().tolist() for figure in shown] == [[10], [10, 20], [10, 20, 30]]
    assert [figure.axes[0].get_title() for figure in shown] == [f"after {n} steps" for n in (10, 20, 30)]
    assert plt.get_fignums() == [], "a notebook would draw an open figure once more"


def test_attention_weights_are_drawn_as_numbers_too():
    weights = np.tril(np.full((3, 3), 0.25)) + 0.5 * np.eye(3)
    ax = attention_weights(weights, rows="step", columns="step")
    assert np.array_equal(ax.images[0].get_array(), weights)
    assert len(ax.texts) == 6 and ax.get_ylabel() == "step"
    with pytest.raises(ValueError, match="one head"):
        attention_weights(np.zeros((2, 3, 3)))
