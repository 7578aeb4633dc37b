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

/** A drawn sign, of those that index.html has; words beside it say the same. */
export function icon(name) {
  return s("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" },
    s("use", { href: `#icon-${name}` }));
}

/** Show these elements. One that is as it was stays where it is: a click begins and ends on the same element, or is none. */
export function show(box, elements) {
  const shown = [...box.children];
  const wanted = elements.map((element) => shown.find((old) => old.isEqualNode(element)) ?? element);
  wanted.forEach((element, at) => {
    if (box.children[at] !== element) box.insertBefore(element, box.children[at] ?? null);
  });
  while (box.children.length > wanted.length) box.lastElementChild.remove();
}
