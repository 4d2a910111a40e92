// The QR code of a new authenticator app. It is drawn from a message, which isn't saved, and removed at the end.

import { followTheme, h, setText, translate, widget } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("@anywidget/types").AnyModel<{words: Words}>} EnrollmentModel */
/** @typedef {{type: "show", image: string, key: string} | {type: "over", text: string}} EnrollmentMessage */

/**
 * The kernel's last message, which is sent before a view is drawn.
 * @param {EnrollmentModel} model
 */
function keepMessage(model) {
  /** @type {{last: EnrollmentMessage | null, views: Set<() => void>, stop: () => void}} */
  const store = { last: null, views: new Set(), stop: () => model.off("msg:custom", receive) };
  const receive = (/** @type {EnrollmentMessage} */ message) => {
    if (message.type !== "show" && message.type !== "over") return;
    store.last = message;
    store.views.forEach((draw) => draw());
  };
  model.on("msg:custom", receive);
  return store;
}

/**
 * The QR code in one place of the page.
 * @param {EnrollmentModel} model
 * @param {HTMLElement} el
 * @param {ReturnType<typeof keepMessage>} store
 * @returns {() => void} stop
 */
function drawEnrollment(model, el, store) {
  const words = /** @type {Words} */ (model.get("words"));
  const message = h("p", { role: "status" });
  const code = h("div", { class: "sb-code" });
  const title = translate(words, "mfa.title");
  const root = h(
    "div",
    { class: "sb", "data-kind": "enrollment", role: "group", "aria-label": title },
    h("p", { class: "sb-title" }, title),
    message,
    code,
  );

  function draw() {
    const { last } = store;
    // A notebook that is opened later shows the snapshot instead.
    root.classList.toggle("sb-shown", last !== null);
    if (last?.type !== "show") {
      code.replaceChildren();
      setText(message, last ? last.text : translate(words, "mfa.waiting"));
      return;
    }
    setText(message, translate(words, "mfa.scan"));
    code.replaceChildren(
      h("img", {
        src: `data:image/svg+xml;utf8,${encodeURIComponent(last.image)}`,
        alt: translate(words, "mfa.image"),
        width: 180,
        height: 180,
      }),
      h("p", {}, translate(words, "mfa.key")),
      h("p", { class: "sb-key" }, last.key),
      h("p", { class: "sb-private" }, translate(words, "mfa.private")),
    );
  }

  el.append(root);
  const stopFollowingTheme = followTheme(root);
  store.views.add(draw);
  draw();
  return () => {
    store.views.delete(draw);
    stopFollowingTheme();
    root.remove();
  };
}

export default widget(keepMessage, drawEnrollment);
