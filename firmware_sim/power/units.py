"""Units of the power models: charge is counted in microcoulomb (mA x ms), energy in nanojoule (uC x mV), time in ms.

With these three no conversion stands between a firmware state (mA for some ms) and the books.
"""

UC_PER_MAH = 3.6e6  # 1 mAh = 3.6 C
NJ_PER_J = 1e9
MS_PER_HOUR = 3_600_000
MS_PER_YEAR = 31_557_600_000  # Julian year, 365.25 days
