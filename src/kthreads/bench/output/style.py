"""How the report looks."""

STYLE = """
:root {
  --page: #fbfbfa; --card: #ffffff; --text: #1d2026; --dim: #636a76; --line: #e3e5e8; --warn: #9a5b00;
  --c0: #1d5fd0; --c1: #0d9488; --c2: #d9650b; --c3: #96622e; --c4: #d1408f; --c5: #7c4dd6; --c6: #7b828e; --c7: #4d9221;
  --s0: #1d5fd0; --s1: #7fb2f5; --s2: #d9a35b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1b1e24; --text: #e6e8ec; --dim: #9aa2ae; --line: #2d323a; --warn: #f0b24d;
    --c0: #6aa5ff; --c1: #3fd0c0; --c2: #ff9a4a; --c3: #cf9d68; --c4: #ff7fc0; --c5: #b597ff; --c6: #a4abb8; --c7: #9ad06a;
    --s0: #6aa5ff; --s1: #2f5c9e; --s2: #d9a35b;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; letter-spacing: -.02em; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .5rem; }
p { margin: .4rem 0; }
a { color: var(--c0); text-decoration: none; }
nav { margin-top: 1.6rem; line-height: 2; color: var(--dim); }
.warning { color: var(--warn); font-weight: 600; }
.figures { display: grid; gap: 1rem; margin-top: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem .8rem; min-width: 0; }
section > figure { max-width: 560px; }
figcaption { font-weight: 600; font-size: .9rem; margin-bottom: .3rem; }
figure svg { display: block; width: 100%; height: auto; }
.note { color: var(--dim); font-size: .84rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .4rem 0 .8rem; font-size: .86rem; color: var(--dim); }
.legend span { display: inline-flex; align-items: center; gap: .4rem; white-space: nowrap; }
.legend svg { width: 26px; height: 8px; }
.legend i { width: 12px; height: 12px; border-radius: 3px; }
svg text { fill: var(--dim); font: 11.5px system-ui, sans-serif; }
svg text.name { fill: var(--text); font-size: 12.5px; }
svg .grid { stroke: var(--line); }
svg .one { stroke: var(--dim); stroke-dasharray: 3 3; }
svg .ideal { fill: none; stroke: var(--dim); stroke-dasharray: 2 4; stroke-width: 1.5; }
svg .faint { opacity: .45; }
svg .sure { fill: var(--dot); stroke-width: 2; }
svg .even { fill: var(--card); stroke-width: 2; }
svg path:hover { stroke-width: 4; }
.verdicts { display: grid; gap: .6rem; margin-top: .8rem; }
details { border: 1px solid var(--line); border-radius: 10px; background: var(--card); padding: .5rem .8rem; margin-top: .8rem; }
.verdicts details { margin: 0; border-left: 5px solid var(--c6); }
.verdicts .ahead { border-left-color: var(--c0); }
.verdicts .behind { border-left-color: var(--c2); }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 2.2em; font-size: 1.15rem; }
ul { padding-left: 1.1rem; margin: .5rem 0; }
li { margin: .25rem 0; font-size: .92rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .22rem .7rem .22rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:not(:last-child) { white-space: nowrap; }
#environment td { white-space: normal; overflow-wrap: anywhere; }
th { color: var(--dim); font-weight: 600; white-space: nowrap; }
"""
