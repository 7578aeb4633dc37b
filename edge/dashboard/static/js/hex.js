// Bytes as people may look at them: nothing in them can act, turn text around, or hide.

const COLUMNS = 16;

/** Text in which whatever is not seen, or changes how the rest is seen, stands as its code. */
export function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** The start of the bytes: offset, hexadecimal, and ASCII with a dot for the rest. */
export function hexdump(bytes, bytesMax) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, bytesMax); at += COLUMNS) {
    const row = [...bytes.subarray(at, Math.min(at + COLUMNS, bytesMax))];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(3 * COLUMNS - 1);
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex}  ${row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("")}`);
  }
  return lines.join("\n");
}
