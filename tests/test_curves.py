"""Loss curves and attention weights: what is drawn, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from visage_lite.curves import attention_weights, loss_curves


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


def test_attention_weights_are_drawn_as_numbers_too():
    weights = np.tril(np.full((3, 3), 0.25)) + 0.5 * np.eye(3)
    ax = attention_weights(weights, rows="step", columns="step")
    assert np.array_equal(ax.images[0].get_array(), weights)
    assert len(ax.texts) == 6 and ax.get_ylabel() == "step"
    with pytest.raises(ValueError, match="one head"):
        attention_weights(np.zeros((2, 3, 3)))
