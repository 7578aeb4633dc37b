"""The unit symbols that SenML knows.

Source: IANA "SenML Units" (RFC 8428, section 12.1) and "Secondary Units" (RFC 8798, section 4). A unit outside this
list is accepted on the wire, because devices in the field use their own; our own catalogue uses only these.
"""

SENML_UNITS = frozenset(
    "m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s l/s W/m2 "
    "cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m B VA VAs var vars J/m "
    "kg/m3 deg NTU".split()
)
"""Primary units: the values of one quantity share one of these."""

SECONDARY_UNITS = frozenset(
    "ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm ug/m3 mm/h m/h ppm /100 "
    "/1000 hPa mm cm km km/h gravity 1/h".split()
)
"""Scaled forms of the primary units, allowed by RFC 8798 where the primary one is impractical."""


def is_registered(unit: str) -> bool:
    """Whether the SenML registries list this unit symbol."""
    return unit in SENML_UNITS or unit in SECONDARY_UNITS
