"""Colours and layout of the report: light and dark, wide screens and phones."""

from __future__ import annotations

MASK_COLOUR = "#ffb000"
REFERENCE_COLOUR = "#35c8ff"
TOO_MUCH_COLOUR = "#ff4530"
TOO_LITTLE_COLOUR = "#4a8cff"

STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --paper: #f4f6f8; --card: #ffffff; --line: #dde3ea;
  --accent: #b25c00; --good: #137a4b; --good-soft: #e0f3e9; --warn: #a1480b; --warn-soft: #fdeedd; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #9aa6b5; --paper: #12161c; --card: #1b2129; --line: #2e3743;
    --accent: #ffb454; --good: #6fd3a0; --good-soft: #183629; --warn: #ffb68a;
    --warn-soft: #40291a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 1.2rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .6rem 0 .3rem; overflow-wrap: anywhere; }
h1.part { font-size: 1.5rem; margin-top: 2.2rem; }
h2 { font-size: 1.25rem; margin: 0 0 .3rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 72ch; }
.hint, figcaption, footer, dt { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.1rem 1.2rem; margin: 1.1rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .7rem;
  margin: 1rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; line-height: 1.3; display: block; }
figure { margin: .6rem 0; }
figure img, .card img { display: block; max-width: 100%; height: auto; border-radius: 8px; }
figcaption { font-size: .85rem; margin-top: .3rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr));
  gap: .6rem 1.2rem; align-items: start; }
.charts img { width: 100%; max-width: 560px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr));
  gap: 1rem; margin-top: .8rem; }
.card { border: 1px solid var(--line); border-radius: 10px; padding: .7rem; min-width: 0; }
.card img { width: 100%; margin-top: .5rem; background: #000; }
.card header { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; }
.rank { background: var(--ink); color: var(--card); border-radius: 99px; padding: 0 .55rem;
  font-weight: 600; font-size: .85rem; }
.chip { border-radius: 99px; padding: 0 .55rem; font-size: .8rem; background: var(--paper);
  border: 1px solid var(--line); }
.chip.good { background: var(--good-soft); color: var(--good); border-color: transparent; }
.chip.warn { background: var(--warn-soft); color: var(--warn); border-color: transparent; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(88px, 1fr)); gap: .2rem .8rem;
  margin: .6rem 0 0; }
dt { font-size: .78rem; line-height: 1.3; }
dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .88rem; margin: .4rem 0; }
.legend i { display: inline-block; width: 1.1em; height: .55em; border-radius: 2px;
  margin-right: .4em; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.number { text-align: right; }
tr.strong td { font-weight: 600; }
.warning { color: var(--warn); }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--accent); }
a { color: var(--accent); }
footer { font-size: .85rem; margin: 1.4rem 0; }
@media (max-width: 560px) { main { padding: .6rem; } section { padding: .8rem; }
  h1 { font-size: 1.5rem; } .tile b { font-size: 1.25rem; } }
@media print { body { background: #fff; } section, .card { break-inside: avoid-page; } }
"""
