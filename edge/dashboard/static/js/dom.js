// Building the page. Whatever comes from a device goes through text nodes only, never through markup.

const SVG = "http://www.w3.org/2000/svg";

function append(node, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** An element: attributes (`on…` is a listener, `class` as written), then children; strings become text. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  return append(node, children);
}

/** An element of SVG. */
export function s(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  return append(node, children);
}

/** Text from outside, kept from turning its surroundings around (right-to-left names). */
export function foreign(text) {
  return h("bdi", {}, text);
}

/** Set text only if it differs: a screen reader must not speak twice. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const ICONS = {
  ok: "M5 12.5l4.5 4.5L19 7.5",
  busy: "M12 5v7l4.5 3M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18",
  warn: "M12 4L2.8 20h18.4zM12 10v4.5M12 17.2v.3",
  bad: "M6 6l12 12M18 6L6 18",
  devices: "M8 3h8v18H8zM11 18h2M4 8a6 6 0 0 0 0 8M20 8a6 6 0 0 1 0 8",
  gateway: "M3 13h18v7H3zM7 16.5h.01M11 16.5h6M7 13V9M17 13V5M7 6.5v.01M17 2.5v.01",
  cloud: "M7 19a4.5 4.5 0 0 1-.6-8.96 6 6 0 0 1 11.5 1.2A3.9 3.9 0 0 1 17.5 19z",
};

/** A drawn sign; words beside it say the same. */
export function icon(name) {
  return s("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" },
    s("path", { d: ICONS[name] }));
}
