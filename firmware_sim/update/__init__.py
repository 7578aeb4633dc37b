"""Updates of a device's own firmware: two slots, a bootloader that always finds one, a download that is resumed.

`states` is the table, `slots` the flash behind it, `bootloader` what runs before any image, `updater` what one does.
"""
