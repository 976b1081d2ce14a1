"""SVG for the report: bars of ratios against a line at 1, and curves over size with logarithmic axes."""
import html
import math

COLOURS = {"berthd": "#1b6ca8", "berth": "#1b6ca8", "nginx": "#7f8c8d", "distribution": "#d9822b", "docker-registry": "#b5563f"}
OTHERS = ("#5c8a4a", "#8a5ca0", "#a08a3c", "#4a8a8a")
WIDTH, LEFT, BAR = 960, 420, 15


def colour(name, names):
    others = [n for n in names if n not in COLOURS]
    return COLOURS.get(name) or OTHERS[others.index(name) % len(OTHERS)]


def text(x, y, what, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{html.escape(what)}</text>'


def svg(height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" '
            f'font-family="sans-serif" font-size="11" role="img">{"".join(parts)}</svg>')


def place(value, low, high, span):
    """Where a value is on a logarithmic axis."""
    if high <= low:
        return span / 2
    return span * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))


def bars(groups):
    """groups: [(title, [(name, ratio, low, high, label)])]; more is better, and 1 is the limit or, where there is none, berthd."""
    values = [v for _, items in groups for _, ratio, low, high, _ in items for v in (ratio, low, high) if v > 0] + [1]
    low, high = min(values) / 1.2, max(values) * 1.2
    names = sorted({name for _, items in groups for name, *_ in items})
    span = WIDTH - LEFT - 130
    one = LEFT + place(1, low, high, span)
    parts, y = [], 8.0
    for title, items in groups:
        parts.append(text(LEFT - 8, y + BAR * len(items) / 2 + 4, title, "end"))
        for name, ratio, least, most, label in items:
            if ratio <= 0:
                continue
            at = LEFT + place(ratio, low, high, span)
            x, w = min(one, at), max(abs(at - one), 1)
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{BAR - 3}" fill="{colour(name, names)}"><title>{html.escape(f"{name} {label}")}</title></rect>')
            a, z = (LEFT + place(max(v, low), low, high, span) for v in (least, most))
            parts.append(f'<line x1="{a:.1f}" x2="{z:.1f}" y1="{y + BAR / 2 - 1.5:.1f}" y2="{y + BAR / 2 - 1.5:.1f}" stroke="#222" stroke-width="1"/>')
            parts.append(text(max(at, z, one) + 4, y + BAR - 5, f"{name} {label}"))
            y += BAR
        y += 9
    parts.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="2" y2="{y:.1f}" stroke="#c0392b" stroke-width="1.5"/>')
    return svg(y + 4, parts)


def size_text(x):
    for unit, n in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if x >= n:
            return f"{x / n:g} {unit}"
    return f"{x:g}"


def curves(title, unit, x_unit, lines):
    """lines: {name: [(x, value)]}, both axes logarithmic."""
    height, bottom, top, right = 280, 240, 26, 170
    points = [p for line in lines.values() for p in line if p[1] > 0]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(y for _, y in points) / 1.3, max(y for _, y in points) * 1.3
    left, span = 70, WIDTH - 70 - right
    names = sorted(lines)

    def at(x, y):
        return left + place(x, x_low, x_high, span), bottom - place(y, y_low, y_high, bottom - top)

    parts = [text(left, 14, f"{title}, {unit}", weight="bold"), f'<rect x="{left}" y="{top}" width="{span}" height="{bottom - top}" fill="none" stroke="#bbb"/>']
    for x in sorted({x for x, _ in points}):
        px = at(x, y_low)[0]
        parts.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{top}" y2="{bottom}" stroke="#eee"/>')
        parts.append(text(px, bottom + 15, size_text(x) if x_unit == "bytes" else f"{x:,} {x_unit}", "middle"))
    for power in range(math.ceil(math.log10(y_low)), math.floor(math.log10(y_high)) + 1):
        py = at(x_low, 10.0**power)[1]
        parts.append(f'<line x1="{left}" x2="{left + span}" y1="{py:.1f}" y2="{py:.1f}" stroke="#eee"/>')
        parts.append(text(left - 5, py + 4, f"{10.0**power:g}", "end"))
    taken = []
    for name in sorted(lines, key=lambda n: -lines[n][-1][1]):
        line = [at(x, y) for x, y in sorted(lines[name]) if y > 0]
        c = colour(name, names)
        parts.append(f'<polyline fill="none" stroke="{c}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{c}"/>' for x, y in line]
        y = max([line[-1][1] + 4, *(t + 13 for t in taken if abs(t - line[-1][1] - 4) < 13)])
        taken.append(y)
        parts.append(f'<g fill="{c}">{text(left + span + 8, y, name)}</g>')
    return svg(height, parts)
