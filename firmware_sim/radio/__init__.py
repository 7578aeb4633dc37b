"""Radios, the air between them and the device's clock: energy, latency and loss of every frame, as plain data.

The room holds four things. ``lora``, ``regulation``, ``adr``, ``collisions`` and ``lorawan`` are LoRaWAN; ``wifi``,
``ble``, ``ieee802154`` and ``cellular`` are the other radios, all behind the ``Radio`` protocol of ``energy``;
``path`` and ``links`` say whether a frame arrives; ``clock`` says what time the device believes it is.

Promises: no input or output except the bundled data files, no clock, no hidden randomness. The same calls with the same
``random.Random`` give the same answers. Currents and times of parts come from the TOML files in ``data/``, never from
code.
"""
