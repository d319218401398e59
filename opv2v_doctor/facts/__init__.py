"""Facts: what checks look at. Each measures, is remembered for one state of a target, and judges nothing.

In layers, each of which knows only those above it here: `interpreter`, `source`, `machine`, `launch`, `disk`,
`samples`, `geometry`, `past`, `predictions`.
"""
