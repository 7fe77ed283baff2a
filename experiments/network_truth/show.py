"""What was measured behind the truth networks, as the README's table and as one figure."""

from typing import Any

QUANTITIES = {"entropy": "h", "mutual_information": "I"}

COLORS = {
    "right": "#b7dfb9", "wide": "#e3f0c8", "as stated": "#cfe3f2", "warned": "#f6d48f", "silent": "#e2736b",
    "refused": "#d5d5d5", "mixed": "#efe9f5", "-": "#ffffff",
}  # fmt: skip
"""What most answers of an estimator behind a network are → the color of the square."""

LEGEND = {
    "right": "right", "wide": "over 20 % off, but its interval holds the truth",
    "as stated": "off on the side it states",
    "warned": "off, with a warning", "silent": "off, silent", "refused": "refuses", "mixed": "now this, now that",
}  # fmt: skip


def behavior(row: dict[str, Any], label: str) -> str:
    """The verdict on over half of the answers, "mixed" without one, "wide" for right ones by a wide interval alone.

    "-" for an estimator that does not apply.
    """
    m = row["estimators"].get(label)
    if m is None:
        return "-"
    most = max(m["shares"], key=lambda verdict: m["shares"][verdict])
    if m["shares"][most] <= 0.5:
        return "mixed"
    error, truth = m.get("root_mean_square_error"), row["truth"]
    if label == "Hausdorff kNN" and row["on_its_surface"] is not None:
        truth = row["on_its_surface"]
    wide = most == "right" and error is not None and error > max(0.05, 0.2 * abs(float(truth)))
    return "wide" if wide else most


def merged(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """(network, quantity) → its row with the estimators of all parts."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        first = found.setdefault((row["network"], row["quantity"]), {**row, "estimators": {}})
        first["estimators"] |= row["estimators"]
    return found


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown, one line per network: truths, the most accurate estimators, and how many are silently off."""
    head = ["network", "D → K", "h", "most accurate", "silent", "I", "most accurate", "silent"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in dict.fromkeys(row["network"] for row in rows):
        mine = {quantity: row for (network, quantity), row in merged(rows).items() if network == name}
        first = mine["entropy"]
        parts = [f"`{name}`", f"{first['d_in']} → {first['d_out']}"]
        for quantity in QUANTITIES:
            parts += _cells(mine[quantity]) if quantity in mine else ["", "", ""]
        lines.append(f"| {' | '.join(parts)} |")
    return lines


def _cells(row: dict[str, Any]) -> list[str]:
    """The truth, the most accurate estimator with its error, and the share of silent ones."""
    shown = "−∞" if row["truth"] == "-inf" else f"{row['truth']:.3g}"
    if row["on_its_surface"] is not None:
        shown += f" ({row['on_its_surface']:.3g} on its surface)"
    answered = {k: m["root_mean_square_error"] for k, m in row["estimators"].items() if _error(m) is not None}
    best = min(answered, key=lambda k: answered[k]) if answered else None
    silent = sum(behavior(row, label) == "silent" for label in row["estimators"])
    return [shown, f"{best} (±{answered[best]:.2g})" if best else "", f"{silent} of {len(row['estimators'])}"]


def _error(m: dict[str, Any]) -> float | None:
    return m.get("root_mean_square_error") if m["shares"]["refused"] == 0 else None


def draw(rows: list[dict[str, Any]]) -> Any:
    """Networks × estimators, colored by behavior, with the bias in nats where there is one."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = {
        q: list(dict.fromkeys(k for r in rows if r["quantity"] == q for k in r["estimators"])) for q in QUANTITIES
    }
    names = list(dict.fromkeys(row["network"] for row in rows))
    figure = Figure(figsize=(17, 2.4 + 0.27 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, width_ratios=[len(columns[q]) for q in QUANTITIES])
    for axes, (quantity, symbol) in zip(panels, QUANTITIES.items(), strict=True):
        found = {network: row for (network, kind), row in merged(rows).items() if kind == quantity}
        for y, name in enumerate(names):
            for x, label in enumerate(columns[quantity]):
                if name in found:
                    axes.add_patch(_square(x, y, COLORS[behavior(found[name], label)]))
                    axes.text(x, y, _text(found[name]["estimators"].get(label)), ha="center", va="center", fontsize=7)
        axes.set_xlim(-0.5, len(columns[quantity]) - 0.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xticks(range(len(columns[quantity])), columns[quantity], rotation=60, ha="right", fontsize=8)
        truths = [_truth(found.get(name), symbol) for name in names]
        axes.set_title(f"{quantity.replace('_', ' ')}: bias in nats", fontsize=10)
        if quantity == "entropy":
            axes.set_yticks(range(len(names)), [f"{n}   {t}" for n, t in zip(names, truths, strict=True)], fontsize=8)
        else:
            for y, truth in enumerate(truths):
                axes.text(len(columns[quantity]) - 0.4, y, truth, va="center", fontsize=8)
    handles = [Patch(facecolor=COLORS[name], edgecolor="gray", label=text) for name, text in LEGEND.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=9)
    return figure


def _square(x: float, y: float, color: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=color, edgecolor="white")


def _text(m: dict[str, Any] | None) -> str:
    if m is None or "mean" not in m or m["shares"]["refused"] > 0.5:
        return ""
    if m["bias"] is None:
        return "−∞" if m["mean"] == "-inf" else ""
    return f"{m['bias']:+.2f}" if abs(m["bias"]) < 9.995 else f"{m['bias']:+.0f}"


def _truth(row: dict[str, Any] | None, symbol: str) -> str:
    if row is None:
        return ""
    return f"{symbol} = −∞" if row["truth"] == "-inf" else f"{symbol} = {row['truth']:.2f}"
