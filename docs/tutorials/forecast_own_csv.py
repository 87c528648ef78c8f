# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Forecast your own CSV
#
# The forecasting command trains several models on one time series, compares them on
# rows that none of them has seen, and forecasts what follows the last row. This
# tutorial runs it from Python on a CSV file with dates, and ends with the same steps as
# shell commands. It takes less than half a minute on two CPU cores.

# %%
import csv
from pathlib import Path

import numpy as np
from IPython.display import Image, display
from IPython.utils.capture import capture_output

from experiments.common.plots import VERMILION, new_figure, save_figure
from experiments.forecasting import Config, forecast, train

# %% [markdown]
# ## The file
#
# A file of your own has a header line and one row per time. Here we make one: the load
# of a machine in each month of 12 years, with a trend, a season of 12 months and noise.

# %%
rng = np.random.default_rng(0)
months = np.arange("2010-01", "2022-01", dtype="datetime64[M]")
t = np.arange(len(months))
season = 10 * np.sin(2 * np.pi * t / 12)
load = 100 + 0.5 * t + season + rng.normal(0, 2, len(t))

with open("load.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["month", "load"])
    for month, value in zip(months, load, strict=True):
        writer.writerow([f"{month}-01", f"{value:.2f}"])

lines = Path("load.csv").read_text().splitlines()
print(len(lines) - 1, "rows")
print("\n".join([*lines[:4], "...", lines[-1]]))

# %% [markdown]
# Parquet files and JSON lines work as well, with the same settings:
# `csv="load.parquet"` (needs `pip install "seqjax[data]"`) or `csv="load.jsonl"`.
#
# ## Train and compare
#
# `time_column` names the column of the dates, `target` the column to forecast. All
# other settings have defaults that suit a short series. The season is found in the
# data. The last third of the rows is the test part, and the last fifth of the rows
# before it the validation part.
#
# The command prints its progress, which `capture_output` keeps off the page, and notes
# about the data, which we print.

# %%
config = Config.of(
    csv="load.csv", time_column="month", target="load", workdir="runs/load"
)
with capture_output() as printed:
    summary = train(config)
print(printed.stderr.strip())
begin, end = summary["test_rows"]
print(f"test part: rows {begin + 1} to {end}")

# %% [markdown]
# The summary holds the errors of every model. They are those of standardized data (mean
# 0 and standard deviation 1 over the training rows), over all windows of 12 months in
# the test part. The model with the lowest error on the validation part has a star.


# %%
def print_models(summary):
    """Print a row for each model of a run."""
    print(f"{'model':12} {'parameters':>10} {'valid MSE':>9} {'test MSE':>8} coverage")
    for name, scores in summary["models"].items():
        star = "*" if name == summary["best"] else " "
        print(
            f"{name:10} {star} {scores['parameters']:10} {scores['valid_mse']:9.4f} "
            f"{scores['mse']:8.4f} {scores['coverage']:8.2f}"
        )


print_models(summary)

# %% [markdown]
# - `naive_12` repeats the last 12 months. It is the reference: a model that does not
#   beat it is of no use.
# - `linear_13` is an autoregression on the last 13 values, by least squares.
# - `mlp_13` is a small network on the same 13 values.
# - `direct_13` is a GRU that reads them and forecasts all steps at once.
#
# **Coverage** is the share of the test values that lie within the forecast interval. It
# should be near 0.9, the default of `interval`. The widths come from the errors on the
# validation part, so they hold for the test part only as far as both parts are alike.
#
# ## The figure
#
# The run draws the forecasts of all models in `runs/load/forecasts.png`, and writes all
# tables and figures on one page, `runs/load/report.html`.

# %%
print(*sorted(path.name for path in Path("runs/load").iterdir()), sep="\n")

# %% [markdown]
# ## Forecast past the end of the file
#
# `Config.of_run` reads the settings of the run. `forecast` returns one row per model
# and step, the best model first, and writes them to a CSV file in the units of the
# data. The dates go on as in the file.

# %%
with capture_output():
    rows = forecast(Config.of_run("runs/load", output="next.csv"))

print(len(rows), "rows: 4 models x 12 steps")
for row in rows[:12]:
    print(
        f"{row.model} {row.step:2} {row.time} {row.forecast:6.1f} "
        f"({row.lower:.1f} to {row.upper:.1f})"
    )
print(*Path("next.csv").read_text().splitlines()[:2], sep="\n")

# %% [markdown]
# Since this series is made, we know its mean for the coming year: trend and season
# without noise. We draw it beside the forecast of the best model and its interval.

# %%
best = rows[:12]
ahead = np.array([row.time for row in best]).astype("datetime64[M]")
future = np.arange(len(t), len(t) + 12)
truth = 100 + 0.5 * future + 10 * np.sin(2 * np.pi * future / 12)

figure, axes = new_figure(7, 3)
axes.plot(months[-48:], load[-48:], label="data")
axes.plot(ahead, [row.forecast for row in best], color=VERMILION, label=best[0].model)
lower, upper = [row.lower for row in best], [row.upper for row in best]
axes.fill_between(ahead, lower, upper, color=VERMILION, alpha=0.2, lw=0)
axes.plot(ahead, truth, color="black", linestyle=":", label="mean without noise")
axes.set(xlabel="month", ylabel="load")
axes.grid(alpha=0.3)
axes.legend()
save_figure(figure, Path("next.png"), dpi=80)
display(Image("next.png"))

# %% [markdown]
# ## The same as shell commands
#
# ```sh
# python -m experiments.forecasting --workdir=runs/load \
#     --csv=load.csv --time_column=month --target=load
# python -m experiments.forecasting --workdir=runs/load \
#     --mode=forecast --output=next.csv
# ```
#
# The first command prints the tables. When the file has grown, forecast from its new
# end without training again, and score the models on all rows after those that trained
# and validated them:
#
# ```sh
# python -m experiments.forecasting --workdir=runs/load \
#     --mode=forecast --input=newer.csv
# python -m experiments.forecasting --workdir=runs/load \
#     --mode=evaluate --input=newer.csv
# ```
#
# `docs/tasks/forecasting.md` lists the models and the flags: another horizon, several
# columns, missing values, quantiles.
