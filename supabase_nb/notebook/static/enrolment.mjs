// The QR code of a new authenticator app. It is drawn from a message, which isn't saved, and removed at the end.

import { followTheme, h, say, write, widget } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {import("@anywidget/types").AnyModel<{words: Words}>} EnrolmentModel */
/** @typedef {{type: "show", image: string, key: string} | {type: "over", text: string}} EnrolmentNews */

/**
 * The kernel's last message, which is sent before a view is drawn.
 * @param {EnrolmentModel} model
 */
function keepNews(model) {
  /** @type {{last: EnrolmentNews | null, views: Set<() => void>, stop: () => void}} */
  const news = { last: null, views: new Set(), stop: () => model.off("msg:custom", hear) };
  const hear = (/** @type {EnrolmentNews} */ message) => {
    if (message.type !== "show" && message.type !== "over") return;
    news.last = message;
    news.views.forEach((draw) => draw());
  };
  model.on("msg:custom", hear);
  return news;
}

/**
 * The QR code in one place of the page.
 * @param {EnrolmentModel} model
 * @param {HTMLElement} el
 * @param {ReturnType<typeof keepNews>} news
 * @returns {() => void} stop
 */
function drawEnrolment(model, el, news) {
  const words = /** @type {Words} */ (model.get("words"));
  const message = h("p", { role: "status" });
  const code = h("div", { class: "sb-code" });
  const title = say(words, "mfa.title");
  const root = h(
    "div",
    { class: "sb", "data-kind": "enrolment", role: "group", "aria-label": title },
    h("p", { class: "sb-title" }, title),
    message,
    code,
  );

  function draw() {
    const { last } = news;
    // A notebook that is opened later shows the snapshot instead.
    root.classList.toggle("sb-shown", last !== null);
    if (last?.type !== "show") {
      code.replaceChildren();
      write(message, last ? last.text : say(words, "mfa.waiting"));
      return;
    }
    write(message, say(words, "mfa.scan"));
    code.replaceChildren(
      h("img", {
        src: `data:image/svg+xml;utf8,${encodeURIComponent(last.image)}`,
        alt: say(words, "mfa.image"),
        width: 180,
        height: 180,
      }),
      h("p", {}, say(words, "mfa.key")),
      h("p", { class: "sb-key" }, last.key),
      h("p", { class: "sb-private" }, say(words, "mfa.private")),
    );
  }

  el.append(root);
  const unfollow = followTheme(root);
  news.views.add(draw);
  draw();
  return () => {
    news.views.delete(draw);
    unfollow();
    root.remove();
  };
}

export default widget(keepNews, drawEnrolment);
