"""How long batteries will last: many lives of a device at once, in hourly steps, with NumPy.

    plan = plan_forecast(config, settings, variants)      what is to be computed, as independent blocks of lives
    results = [run_block(block) for block in plan.blocks] here, or on a Ray cluster
    report = summarise(plan, results)

The load is not modelled a second time: some devices of each type are run in the event simulation with a meter in the
place of their battery (`load`), and every life draws its days from what the meter saw. What the cell does with that
load is the cell catalogue's data and formulas over arrays (`cell_arrays`); a contract test holds both simulations to
each other. See docs/forecast.md.
"""
