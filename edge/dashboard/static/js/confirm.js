// A question before something that cannot be undone.

import { h } from "./dom.js";

/** Ask; whether the answer was yes. Escape is no. */
export function confirmed(question, detail, yes) {
  return new Promise((answer) => {
    const dialog = h("dialog", { class: "confirm", "aria-labelledby": "confirm-head" }, h("h2", { id: "confirm-head" }, question), h("p", {}, detail),
      h("div", { class: "buttons" }, h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "button", class: "primary danger", onclick: () => dialog.close("yes") }, yes)));
    dialog.addEventListener("close", () => { dialog.remove(); answer(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
