"""Lives of customers, played against the sandbox and the console, and judged without the console's word.

`script` is what happens, `draw` invents it, `player` lets it happen, `account` keeps who used what by rules
of its own, `verdict` compares. `tests/functional/test_simulation.py` and `benchmarks/simulate.py` use them.
"""
