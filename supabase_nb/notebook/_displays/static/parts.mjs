// The parts of the panel, which are also displays. Elements are built once, then only changes are applied.
import { formatDuration, formatTime, h, setText, svg, translate } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {"signed_out" | "restoring" | "active" | "refreshing" | "retrying" | "expired" | "closed"} Status */
/**
 * The state from the kernel (`view.py`). Durations are in seconds from when it arrived.
 * @typedef {object} View
 * @property {Status} status
 * @property {string} host
 * @property {string | null} client
 * @property {string} option
 * @property {boolean} secret_key
 * @property {number | null} time_left
 * @property {number | null} lifetime
 * @property {number | null} expires_at
 * @property {number | null} refresh_in
 * @property {number | null} refresh_at
 * @property {boolean} refreshable
 * @property {number | null} refreshed
 * @property {{name: string | null, anonymous: boolean, id: string, role: string | null,
 *   provider: string | null, last_sign_in: number | null, session_id: string | null,
 *   aal: string | null} | null} user
 * @property {{apps: {id: string, name: string | null}[], other: string | null} | null} second_factor
 * @property {string | null} message
 * @property {{name: string, text: string}[]} notices
 * @property {{kind: string, ago: number, text: string}[]} events
 */
/**
 * A view, when it arrived, when the token expires, when the next refresh or attempt is due (in ms), and whether the
 * kernel is running.
 * @typedef {object} Shown
 * @property {View | null} view
 * @property {number} at
 * @property {number | null} ends
 * @property {number | null} due
 * @property {"live" | "waiting" | "silent" | "gone" | "closed"} life
 */
/**
 * A display: its element, `show` for a new state, `tick` for every second.
 * @typedef {object} Part
 * @property {HTMLElement} element
 * @property {(shown: Shown) => void} show
 * @property {(shown: Shown, now: number) => void} [tick]
 */

/** How long an overdue refresh still counts as automatic, in ms. */
const LATE_MS = 15_000;

/** One shape per state, so that they differ without colors. @type {Record<string, string>} */
const SHAPES = {
  signed_out: '<circle cx="8" cy="8" r="5.25" class="sb-stroke"/>',
  restoring: '<circle cx="8" cy="8" r="5.25" class="sb-stroke"/><path d="M8 2.75a5.25 5.25 0 0 1 0 10.5z"/>',
  active: '<circle cx="8" cy="8" r="6"/>',
  refreshing: '<path d="M13 8a5 5 0 1 1-1.6-3.7" class="sb-stroke"/><path d="M13.6 1.9v4.2H9.4z"/>',
  retrying: '<rect x="2.5" y="2.5" width="11" height="11" rx="2.5"/>',
  expired: '<path d="M8 1.6 15 14H1z"/>',
  closed: '<circle cx="8" cy="8" r="5.25" class="sb-stroke"/><path d="M5.4 8h5.2" class="sb-stroke"/>',
  dead: '<circle cx="8" cy="8" r="5.25" class="sb-stroke" stroke-dasharray="2.2 2.1"/>',
};

/** The state to show: the kernel's, or that it has stopped. @param {Shown} shown */
export function stateOf({ view, life }) {
  return life === "closed" ? "closed" : view && life === "live" ? view.status : "dead";
}

/** The shape of a state. @param {string} [className] */
function stateIcon(className = "sb-shape") {
  const shape = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: className });
  let drawn = "";
  return {
    shape,
    draw(/** @type {string} */ state) {
      // Safe: only our own constant strings.
      if (state !== drawn) shape.innerHTML = SHAPES[state] ?? "";
      drawn = state;
    },
  };
}

/**
 * The status as a word with a shape and a color. Screen readers announce it, but not every second.
 * @param {Words} words
 * @returns {Part}
 */
export function badge(words) {
  const { shape, draw } = stateIcon();
  const label = h("span", { class: "sb-word" });
  const element = h("span", { class: "sb-badge", role: "status" }, shape, label);
  return {
    element,
    show(shown) {
      const state = stateOf(shown);
      draw(state);
      element.dataset.status = state;
      element.title = state === "dead" || state === "closed" ? hintText(words, shown) : "";
      setText(label, translate(words, `status.${state}`));
    },
  };
}

/**
 * The user and the project.
 * @param {Words} words
 * @returns {Part}
 */
export function person(words) {
  const letter = h("span");
  const figure = svg(
    "svg",
    { viewBox: "0 0 16 16", class: "sb-shape" },
    svg("circle", { cx: 8, cy: 5.5, r: 2.6, class: "sb-stroke" }),
    svg("path", { d: "M2.8 14a5.3 5.3 0 0 1 10.4 0", class: "sb-stroke" }),
  );
  const avatar = h("span", { class: "sb-avatar", "aria-hidden": "true" }, letter, figure);
  const name = h("div", { class: "sb-name", dir: "ltr" });
  const about = h("div", { class: "sb-about" });
  const element = h("div", { class: "sb-person" }, avatar, h("div", { class: "sb-names" }, name, about));
  return {
    element,
    show({ view }) {
      const user = view?.user ?? null;
      avatar.hidden = !user;
      avatar.dataset.anonymous = String(Boolean(user?.anonymous));
      setText(letter, initial(user));
      setText(
        name,
        user ? nameOf(words, user) : view ? translate(words, "panel.signed_out") : translate(words, "panel.title"),
      );
      name.title = user?.name ?? "";
      setText(about, view ? [view.host, view.client].filter(Boolean).join(" · ") : "");
      about.title = about.textContent ?? "";
    },
  };
}

/**
 * Facts about the user and the session.
 * @param {Words} words
 * @param {{error?: boolean}} [options] `error`: with the last error
 * @returns {Part}
 */
export function facts(words, { error = false } = {}) {
  const copied = h("span", { class: "sb-copied", role: "status" });
  const copy = h(
    "button",
    {
      type: "button",
      class: "sb-icon",
      title: translate(words, "user.copy"),
      "aria-label": translate(words, "user.copy"),
    },
    svg(
      "svg",
      { viewBox: "0 0 16 16", "aria-hidden": "true", class: "sb-shape" },
      svg("rect", { x: 5.5, y: 5.5, width: 8, height: 8, rx: 1.5, class: "sb-stroke" }),
      svg("path", {
        d: "M10.5 3.2v-.2A1.5 1.5 0 0 0 9 1.5H4A1.5 1.5 0 0 0 2.5 3v5A1.5 1.5 0 0 0 4 9.5h.2",
        class: "sb-stroke",
      }),
    ),
  );
  const id = h("span", { class: "sb-id" });
  const session = h("span", { class: "sb-id" });
  const rows = {
    id: row(words, "user.id", h("span", { class: "sb-copyable" }, id, copy, copied)),
    session: row(words, "user.session", session),
    role: row(words, "user.role"),
    provider: row(words, "user.provider"),
    aal: row(words, "user.aal"),
    last: row(words, "user.last_sign_in"),
    error: row(words, "user.error"),
  };
  const element = h("dl", { class: "sb-facts" }, ...Object.values(rows).map(({ element }) => element));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let copiedTimer;
  copy.addEventListener("click", async () => {
    if (await copyText(id.title)) {
      setText(copied, translate(words, "user.copied"));
      clearTimeout(copiedTimer);
      copiedTimer = setTimeout(() => setText(copied, ""), 2000);
    }
  });
  return {
    element,
    show({ view }) {
      const user = view?.user ?? null;
      element.hidden = !user;
      if (!user) return;
      id.title = user.id;
      setText(id, shorten(user.id));
      session.title = user.session_id ?? "";
      setRow(rows.session, user.session_id && shorten(user.session_id), session);
      setRow(rows.role, user.role);
      setRow(rows.provider, user.provider);
      setRow(rows.aal, user.aal);
      setRow(rows.last, user.last_sign_in === null ? null : formatTime(user.last_sign_in * 1000));
      setRow(rows.error, error ? (view?.message ?? null) : null);
    },
  };
}

/**
 * A card with the user and all facts.
 * @param {Words} words
 * @returns {Part}
 */
export function userCard(words) {
  const who = person(words);
  const more = facts(words);
  const element = h("div", { class: "sb-user", role: "group", "aria-label": translate(words, "user.title") });
  element.append(who.element, more.element);
  return {
    element,
    show(shown) {
      who.show(shown);
      more.show(shown);
    },
  };
}

/**
 * The access token: its remaining time as a bar, and when it is refreshed.
 * @param {Words} words
 * @returns {Part}
 */
export function expiry(words) {
  const text = h("span", { class: "sb-until" });
  const bar = h("i");
  const title = h("span", { class: "sb-label" }, translate(words, "token.title"));
  const element = h(
    "div",
    { class: "sb-token" },
    h("div", { class: "sb-token-line" }, title, text),
    h("div", { class: "sb-bar", "aria-hidden": "true" }, bar),
  );
  return {
    element,
    show(shown) {
      element.dataset.status = stateOf(shown);
      element.title = "";
    },
    tick(shown, now) {
      const { view, ends, life } = shown;
      setText(text, expiryText(words, shown, now));
      const whole = view?.lifetime || view?.time_left || 1;
      const share = life === "live" && ends !== null ? clamp((ends - now) / 1000 / whole) : 0;
      bar.style.width = `${(100 * share).toFixed(2)}%`;
    },
  };
}

/**
 * When the token is refreshed or expires, as text.
 * @param {Words} words
 * @param {Shown} shown
 * @param {number} now
 * @returns {string}
 */
function expiryText(words, { view, ends, due, life }, now) {
  if (!view || ends === null) return translate(words, view?.status === "expired" ? "token.ended" : "token.none");
  const left = formatDuration((ends - now) / 1000, words);
  const over = ends <= now;
  if (life === "live" && !over && view.status === "retrying") return translate(words, "token.valid", { span: left });
  if (life === "live" && view.status === "refreshing") return translate(words, "token.refreshing");
  if (life === "live" && view.status === "restoring") return translate(words, "token.checking");
  if (life === "live" && due !== null && view.status !== "retrying") {
    if (due > now) return translate(words, "token.refreshes", { span: formatDuration((due - now) / 1000, words) });
    return translate(words, now - due < LATE_MS ? "token.refreshing" : "token.late");
  }
  if (over) return translate(words, "token.ended");
  const time = formatTime(ends, { seconds: (view.lifetime ?? 0) <= 900 });
  return translate(words, view.refreshable ? "token.until" : "token.ends", { time });
}

/**
 * The last events, newest first.
 * @param {Words} words
 * @returns {Part}
 */
export function timeline(words) {
  const list = h("ol", { class: "sb-events" });
  const none = h("p", { class: "sb-none" }, translate(words, "timeline.none"));
  const element = h("div", { class: "sb-timeline", role: "group", "aria-label": translate(words, "timeline.title") });
  element.append(list, none);
  return {
    element,
    show({ view, at }) {
      const events = view?.events ?? [];
      none.hidden = events.length > 0;
      list.hidden = !events.length;
      list.replaceChildren(
        ...events.map(({ kind, ago, text }) => {
          const time = at - ago * 1000;
          const iso = new Date(time).toISOString();
          const when = h("time", { datetime: iso }, formatTime(time, { seconds: true }));
          return h("li", { "data-kind": kind, title: kind }, when, h("span", { class: "sb-what" }, text));
        }),
      );
    },
  };
}

/**
 * The session in one line, for a magic if another cell shows the panel.
 * @param {Words} words
 * @returns {Part}
 */
export function oneLine(words) {
  const { shape, draw } = stateIcon();
  const text = h("span", { class: "sb-line-text" });
  const element = h("p", { class: "sb-line" }, shape, text);
  return {
    element,
    show(shown) {
      const { view, ends } = shown;
      const state = stateOf(shown);
      draw(state);
      element.dataset.status = state;
      const parts = [];
      if (state === "dead" || state === "closed" || !view) parts.push(hintText(words, shown));
      else if (state === "signed_out")
        parts.push(latestEventText(words, shown) || translate(words, "panel.signed_out"));
      else {
        const who = view.user ? nameOf(words, view.user) : "";
        const over = state === "expired";
        const lead = h("b", {}, translate(words, over ? "line.ended" : "line.signed_in", { who }));
        parts.push(lead);
        if (over || state === "retrying") parts.push(hintText(words, shown));
        else if (view.refreshable) parts.push(translate(words, "line.refreshes"));
        else if (ends !== null) parts.push(translate(words, "line.ends", { time: formatTime(ends) }));
        parts.push(...view.notices.filter(({ name }) => name === "set_auth").map((notice) => notice.text));
      }
      if (view?.client) parts.unshift(h("code", {}, view.client));
      const line = parts.flatMap((part, index) => (index ? [" · ", part] : [part]));
      text.replaceChildren(...line);
    },
  };
}

/**
 * What the user should know or do now; `""` if nothing.
 * @param {Words} words
 * @param {Shown} shown
 * @returns {string}
 */
export function hintText(words, { view, at, life }) {
  const option = view?.option ?? "";
  if (life === "closed") return translate(words, "hint.closed", { option });
  if (!view) return translate(words, life === "waiting" ? "dead.waiting" : "dead.never");
  if (life !== "live")
    return translate(words, `dead.${life}`, {
      time: formatTime(at),
      status: translate(words, `status.${view.status}`),
    });
  if (view.status === "retrying") return translate(words, "hint.retrying");
  if (view.message) return view.message;
  return view.status === "restoring" || view.status === "expired"
    ? translate(words, `hint.${view.status}`, { option })
    : "";
}

/**
 * The last event with its time; `""` if there was none.
 * @param {Words} words
 * @param {Shown} shown
 */
export function latestEventText(words, { view, at }) {
  const event = view?.events[0];
  if (event) return `${event.text} · ${formatTime(at - event.ago * 1000)}`;
  return view?.user ? translate(words, "cause.found in storage") : "";
}

/**
 * @param {Words} words
 * @param {NonNullable<View["user"]>} user
 */
export function nameOf(words, user) {
  return user.name ?? translate(words, user.anonymous ? "user.anonymous" : "user.unnamed");
}

/** @typedef {{element: HTMLElement, label: HTMLElement, value: HTMLElement}} Row */

/**
 * @param {Words} words
 * @param {string} key
 * @param {...Node} content
 * @returns {Row}
 */
function row(words, key, ...content) {
  const label = h("dt", {}, translate(words, key));
  const value = h("dd", {}, ...content);
  return { element: h("div", {}, label, value), label, value };
}

/**
 * Set a row's text. A row without a value is hidden.
 * @param {Row} row
 * @param {string | null} text
 * @param {HTMLElement} [into]
 */
function setRow(row, text, into = row.value) {
  row.element.hidden = !text;
  setText(into, text ?? "");
}

/** @param {number} fraction */
export function clamp(fraction) {
  return Math.min(1, Math.max(0, fraction));
}

/** The user's initial, or a symbol for a phone number or an anonymous user. @param {View["user"]} user */
function initial(user) {
  return user?.anonymous ? "" : (user?.name?.match(/\p{L}/u)?.[0] ?? "").toLocaleUpperCase();
}

/** The first eight characters of an id, enough to distinguish sessions. @param {string} id */
export function shorten(id) {
  return id.length <= 9 ? id : `${id.slice(0, 8)}…`;
}

/** @param {string} text */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // refused by the browser; the id can be copied from the title
  }
}
