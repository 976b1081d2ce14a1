#!/usr/bin/env python3
"""build/bench/results.jsonl as report.md and report.html beside it.

usage: report.py [RESULTS.jsonl [NOTES.md]]

A ratio is how many times as good berthd is: its median over another's where more is better, the other's over its own where less is.
In brackets: the ratio of each round, lowest and highest.  Of each row the last run counts, so that rows measured again replace
themselves.
"""
import html
import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import chart  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
OURS = ("berthd", "berth")
LIMITS = ("nginx", "disk and hash", "without a login", "without gc", "floor")
INTRO = ("A ratio says how many times as good berthd is: its median over the other's where more is better, the other's over its own where less "
         "is. In brackets the ratios of single rounds, lowest and highest. All servers hold the same content and are asked by the same command, "
         "one after another in each round. Processor time is that of the server alone.")


class Results:
    def __init__(self, path):
        self.machine, self.rows, self.values, self.skips, self.commands, self.busy = {}, {}, {}, {}, {}, {}
        for line in open(path):
            x = json.loads(line)
            if x["kind"] == "machine":
                self.machine = x
            elif x["kind"] == "row":
                self.rows[x["row"]] = x
                self.values[x["row"]], self.skips[x["row"]], self.commands[x["row"]] = {}, [], {}
            elif x["kind"] == "value":
                self.values[x["row"]].setdefault(x["server"], []).append(x)
                self.commands[x["row"]].setdefault(x["command"], []).append(x["server"])
            elif x["kind"] == "busy":
                self.busy[x["row"]] = x["share"]
            else:
                self.skips[x["row"]].append((x["server"], x["why"]))

    def ours(self, row):
        return next((s for s in OURS if s in self.values[row]), None)

    def peers(self, row):
        return [s for s in self.values[row] if s not in OURS and s not in LIMITS]

    def of(self, row, server):
        return [x["value"] for x in self.values[row].get(server, [])]

    def median(self, row, server):
        values = self.of(row, server)
        return statistics.median(values) if values else None

    def ratios(self, row, ours, theirs):
        """(of the medians, lowest and highest of a round that both have)"""
        a, z = ({x["round"]: x["value"] for x in self.values[row].get(s, [])} for s in (ours, theirs))
        both = a.keys() & z.keys()
        if not both or not all([*a.values(), *z.values()]):
            return None
        way = (lambda x, y: x / y) if self.rows[row]["better"] == "more" else (lambda x, y: y / x)
        each = [way(a[n], z[n]) for n in both]
        return way(statistics.median(a.values()), statistics.median(z.values())), min(each), max(each)


def number(v):
    if v is None:
        return ""
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}"


def ratio_text(r):
    return f"{r[0]:.2f} ({r[1]:.2f} to {r[2]:.2f})" if r else ""


def cost(results, row, server):
    """Processor time of an item, or of a GiB where items are large."""
    xs = [x for x in results.values[row].get(server, []) if x.get("cpu_s")]
    items, size = sum(x["items"] for x in xs), sum(x["bytes"] for x in xs)
    used = sum(x["cpu_s"] for x in xs)
    if not xs:
        return ""
    if results.rows[row]["unit"] == "MiB/s" and size:
        return f"{used / size * (1 << 30):.2f} s/GiB"
    return f"{1e6 * used / items:.0f} us" if items else ""


def judge(results, row, goal):
    """(goal in words, what was measured, whether it was met or None)"""
    whom, least = goal
    info, ours = results.rows[row], results.ours(row)
    if whom is None and not ours:
        return f"at most {least:g} {info['unit']}", "not measured", None
    if whom is None:
        worst = max(results.of(row, ours))
        return f"at most {least:g} {info['unit']}", f"{worst:.3g} {info['unit']}", worst <= least
    if isinstance(whom, list):
        other = whom[1]
        a, z = results.median(row, ours), results.median(other, ours) if other in results.values else None
        if not a or not z:
            return f"flat against {other}", "not measured", None
        value = a / z if info["better"] == "more" else z / a
        return f"at least {least:.2f} x {results.rows[other]['title']}", f"{value:.2f}", value >= least
    others = [info["limit"]] if whom == "limit" else results.peers(row) if whom == "peers" else [whom]
    found = [(ratios, s) for s in others if ours and (ratios := results.ratios(row, ours, s))]
    what = f"at least {least:.2f} x {'each peer' if whom == 'peers' else others[0]}"
    if not found:
        return what, "not measured", None
    ratios, server = min(found)
    return what, f"{ratio_text(ratios)} of {server}", ratios[0] >= least


def goals_of(results):
    """[(row, goal, measured, met)]; a goal of 0 is none."""
    return [(row, *judge(results, row, goal)) for row, info in results.rows.items() for goal in info["goals"] if goal[1] > 0]


VERDICT = {True: "met", False: "**MISSED**", None: "not measured"}


def table(head, lines):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(x.replace("|", "\\|") for x in line) + " |" for line in lines)])


def groups_of(results):
    groups = {}
    for row, info in results.rows.items():
        if results.values[row]:
            groups.setdefault(info["group"], []).append(row)
    return groups


def group_table(results, rows):
    servers = list(dict.fromkeys(s for row in rows for s in results.values[row] if s not in OURS))
    head = ["workload", "unit", "berthd", *(x for s in servers for x in (s, "ratio"))]
    lines = []
    for row in rows:
        info, ours = results.rows[row], results.ours(row)
        line = [info["title"], info["unit"], with_cost(results, row, ours)]
        for s in servers:
            line += [with_cost(results, row, s), ratio_text(results.ratios(row, ours, s)) if ours else ""]
        lines.append(line)
    return head, lines


def with_cost(results, row, server):
    value, used = number(results.median(row, server)), cost(results, row, server)
    return f"{value}; {used}" if used else value


def commands_of(results, rows):
    return [f"{results.rows[row]['title']}: `{command}`" + (f" ({', '.join(dict.fromkeys(servers))})" if len(results.commands[row]) > 1 else "")
            for row in rows for command, servers in list(results.commands[row].items())[:8]]


def machine_lines(results):
    m = results.machine
    busy = sum(share > 0.1 for share in results.busy.values())
    return [f"{m['cpu']}, {m['cores']} processors, {m['memory_gib']} GiB, Linux {m['kernel']}; {m['run']}, {m['rounds']} rounds"
            + (", QUICK: sizes and times too small to mean anything" if m["quick"] else "")
            + (f"; {busy} of {len(results.busy)} rows began with processors busy with something else" if busy else ""),
            "; ".join(f"{k}: {v}" for k, v in m["versions"].items())]


def skip_lines(results):
    return [f"{results.rows[row]['title']}{f', {server}' if server else ''}: {why}" for row, skips in results.skips.items() for server, why in skips]


def markdown(results, notes):
    parts = ["# berth beside its peers", *machine_lines(results), INTRO, "## Goals",
             table(["workload", "goal", "measured", ""], [(results.rows[row]["title"], what, got, VERDICT[met]) for row, what, got, met in goals_of(results)])]
    for group, rows in groups_of(results).items():
        parts += [f"## {group}", "Median; processor time of one, or of a GiB.", table(*group_table(results, rows)),
                  "\n".join(f"- {x}" for x in commands_of(results, rows))]
    skipped = skip_lines(results)
    if skipped:
        parts += ["## Not measured", "\n".join(f"- {x}" for x in skipped)]
    return "\n\n".join([*parts, notes]).rstrip() + "\n"


# ---- html ----

STYLE = ("body{font:14px/1.45 sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse;font-size:12px;margin:1em 0}"
         "th,td{border:1px solid #ddd;padding:3px 7px;text-align:left}th{background:#f4f4f4}.met{color:#2a7d2a}.missed{color:#c0392b;font-weight:bold}"
         "code{font-size:11px;background:#f6f6f6}details{margin:.5em 0}svg{max-width:100%;height:auto}pre{white-space:pre-wrap;background:#f6f6f6;padding:1em}")


def html_table(head, lines):
    def cell(x, tag):
        name = {"met": "met", "MISSED": "missed"}.get(x.strip("*"), "")
        return f"<{tag}{f' class={name}' if name else ''}>{html.escape(x.strip('*'))}</{tag}>"
    return ("<table><tr>" + "".join(cell(x, "th") for x in head) + "</tr>"
            + "".join("<tr>" + "".join(cell(x, "td") for x in line) + "</tr>" for line in lines) + "</table>")


def bars_of(results, rows):
    """Everybody's ratio to the limit, or to berthd where there is none."""
    groups = []
    for row in rows:
        info = results.rows[row]
        base = info["limit"] if info["limit"] in results.values[row] else results.ours(row)
        items = []
        for s in results.values[row]:
            ratios = results.ratios(row, s, base) if base and s != base else None
            if ratios:
                items.append((s, *ratios, f"{ratios[0]:.2f}"))
        if items:
            groups.append((f"{info['title']} (1 = {base})", items))
    return chart.bars(groups) if groups else ""


def curves_of(results):
    found = {}
    for row, info in results.rows.items():
        if not info["curve"] or not results.values[row]:
            continue
        title, x, x_unit = info["curve"]
        for server in results.values[row]:
            value = results.median(row, server)
            if x_unit == "bytes" and info["unit"] == "1/s":
                value *= x / (1 << 20)
            found.setdefault((title, x_unit), {}).setdefault(server, []).append((x, value))
    return "".join(chart.curves(title, "MiB/s" if x_unit == "bytes" else "1/s", x_unit, {k: v for k, v in lines.items() if len(v) > 1})
                   for (title, x_unit), lines in found.items() if any(len(v) > 1 for v in lines.values()))


def page(results, notes):
    goals = [(results.rows[row]["title"], what, got, VERDICT[met]) for row, what, got, met in goals_of(results)]
    parts = ["<h1>berth beside its peers</h1>", *(f"<p>{html.escape(x)}</p>" for x in [*machine_lines(results), INTRO]),
             "<h2>Goals</h2>", html_table(["workload", "goal", "measured", ""], goals), "<h2>Over size</h2>", curves_of(results)]
    for group, rows in groups_of(results).items():
        parts += [f"<h2>{html.escape(group)}</h2>", bars_of(results, rows), html_table(*group_table(results, rows)), "<details><summary>commands</summary><ul>",
                  *(f"<li>{html.escape(x.replace('`', ''))}</li>" for x in commands_of(results, rows)), "</ul></details>"]
    skipped = skip_lines(results)
    if skipped:
        parts += ["<h2>Not measured</h2><ul>", *(f"<li>{html.escape(x)}</li>" for x in skipped), "</ul>"]
    if notes:
        parts += ["<h2>Notes</h2>", f"<pre>{html.escape(notes)}</pre>"]
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>berth beside its peers</title><style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"


def main():
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[1] / "build/bench/results.jsonl")
    notes_path = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else HERE / "notes.md")
    notes = notes_path.read_text() if notes_path.exists() else ""
    results = Results(path)
    path.with_name("report.md").write_text(markdown(results, notes))
    path.with_name("report.html").write_text(page(results, notes))
    for row, what, got, met in goals_of(results):
        print(f"{results.rows[row]['title']}: {what}: {got} {VERDICT[met].strip('*')}")
    print(f"tables and plots: {path.with_name('report.md')}, {path.with_name('report.html')}")


if __name__ == "__main__":
    main()
