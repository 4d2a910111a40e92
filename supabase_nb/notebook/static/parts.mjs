// The parts of the panel, which are also displays. Elements are built once, then only changes are applied.
import { clock, h, moment, say, svg, write } from "./shared.mjs";

/** @typedef {import("./shared.mjs").Words} Words */
/** @typedef {"signed_out" | "restoring" | "active" | "refreshing" | "retrying" | "expired" | "closed"} Status */
/**
 * The state from the kernel (`view.py`). Spans are in seconds from when it arrived.
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
const LATE = 15_000;

/** One shape per state, so that they differ without colours. @type {Record<string, string>} */
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
function shapeOf(className = "sb-shape") {
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
 * The status as a word with a shape and a colour. Screen readers announce it, but not every second.
 * @param {Words} words
 * @returns {Part}
 */
export function badge(words) {
  const { shape, draw } = shapeOf();
  const label = h("span", { class: "sb-word" });
  const element = h("span", { class: "sb-badge", role: "status" }, shape, label);
  return {
    element,
    show(shown) {
      const state = stateOf(shown);
      draw(state);
      element.dataset.status = state;
      element.title = state === "dead" || state === "closed" ? explain(words, shown) : "";
      write(label, say(words, `status.${state}`));
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
      write(letter, initial(user));
      write(name, user ? nameOf(words, user) : view ? say(words, "panel.signed_out") : say(words, "panel.title"));
      name.title = user?.name ?? "";
      write(about, view ? [view.host, view.client].filter(Boolean).join(" · ") : "");
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
    { type: "button", class: "sb-icon", title: say(words, "user.copy"), "aria-label": say(words, "user.copy") },
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
  let forget;
  copy.addEventListener("click", async () => {
    if (await copyText(id.title)) {
      write(copied, say(words, "user.copied"));
      clearTimeout(forget);
      forget = setTimeout(() => write(copied, ""), 2000);
    }
  });
  return {
    element,
    show({ view }) {
      const user = view?.user ?? null;
      element.hidden = !user;
      if (!user) return;
      id.title = user.id;
      write(id, shorten(user.id));
      session.title = user.session_id ?? "";
      fill(rows.session, user.session_id && shorten(user.session_id), session);
      fill(rows.role, user.role);
      fill(rows.provider, user.provider);
      fill(rows.aal, user.aal);
      fill(rows.last, user.last_sign_in === null ? null : moment(user.last_sign_in * 1000));
      fill(rows.error, error ? (view?.message ?? null) : null);
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
  const element = h("div", { class: "sb-user", role: "group", "aria-label": say(words, "user.title") });
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
  const rest = h("i");
  const title = h("span", { class: "sb-label" }, say(words, "token.title"));
  const element = h(
    "div",
    { class: "sb-token" },
    h("div", { class: "sb-token-line" }, title, text),
    h("div", { class: "sb-bar", "aria-hidden": "true" }, rest),
  );
  return {
    element,
    show(shown) {
      element.dataset.status = stateOf(shown);
      element.title = "";
    },
    tick(shown, now) {
      const { view, ends, life } = shown;
      write(text, until(words, shown, now));
      const whole = view?.lifetime || view?.time_left || 1;
      const share = life === "live" && ends !== null ? clamp((ends - now) / 1000 / whole) : 0;
      rest.style.width = `${(100 * share).toFixed(2)}%`;
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
function until(words, { view, ends, due, life }, now) {
  if (!view || ends === null) return say(words, view?.status === "expired" ? "token.ended" : "token.none");
  const left = clock((ends - now) / 1000, words);
  const over = ends <= now;
  if (life === "live" && !over && view.status === "retrying") return say(words, "token.valid", { span: left });
  if (life === "live" && view.status === "refreshing") return say(words, "token.refreshing");
  if (life === "live" && view.status === "restoring") return say(words, "token.checking");
  if (life === "live" && due !== null && view.status !== "retrying") {
    if (due > now) return say(words, "token.refreshes", { span: clock((due - now) / 1000, words) });
    return say(words, now - due < LATE ? "token.refreshing" : "token.late");
  }
  if (over) return say(words, "token.ended");
  const time = moment(ends, { seconds: (view.lifetime ?? 0) <= 900 });
  return say(words, view.refreshable ? "token.until" : "token.ends", { time });
}

/**
 * The last events, newest first.
 * @param {Words} words
 * @returns {Part}
 */
export function timeline(words) {
  const list = h("ol", { class: "sb-events" });
  const none = h("p", { class: "sb-none" }, say(words, "timeline.none"));
  const element = h("div", { class: "sb-timeline", role: "group", "aria-label": say(words, "timeline.title") });
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
          const when = h("time", { datetime: iso }, moment(time, { seconds: true }));
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
  const { shape, draw } = shapeOf();
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
      if (state === "dead" || state === "closed" || !view) parts.push(explain(words, shown));
      else if (state === "signed_out") parts.push(latest(words, shown) || say(words, "panel.signed_out"));
      else {
        const who = view.user ? nameOf(words, view.user) : "";
        const over = state === "expired";
        const lead = h("b", {}, say(words, over ? "line.ended" : "line.signed_in", { who }));
        parts.push(lead);
        if (over || state === "retrying") parts.push(explain(words, shown));
        else if (view.refreshable) parts.push(say(words, "line.refreshes"));
        else if (ends !== null) parts.push(say(words, "line.ends", { time: moment(ends) }));
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
export function explain(words, { view, at, life }) {
  const option = view?.option ?? "";
  if (life === "closed") return say(words, "hint.closed", { option });
  if (!view) return say(words, life === "waiting" ? "dead.waiting" : "dead.never");
  if (life !== "live") return say(words, `dead.${life}`, { time: moment(at), status: say(words, `status.${view.status}`) });
  if (view.status === "retrying") return say(words, "hint.retrying");
  if (view.message) return view.message;
  return view.status === "restoring" || view.status === "expired" ? say(words, `hint.${view.status}`, { option }) : "";
}

/**
 * The last event with its time; `""` if there was none.
 * @param {Words} words
 * @param {Shown} shown
 */
export function latest(words, { view, at }) {
  const event = view?.events[0];
  if (event) return `${event.text} · ${moment(at - event.ago * 1000)}`;
  return view?.user ? say(words, "cause.found in storage") : "";
}

/**
 * @param {Words} words
 * @param {NonNullable<View["user"]>} user
 */
export function nameOf(words, user) {
  return user.name ?? say(words, user.anonymous ? "user.anonymous" : "user.unnamed");
}

/** @typedef {{element: HTMLElement, label: HTMLElement, value: HTMLElement}} Row */

/**
 * @param {Words} words
 * @param {string} key
 * @param {...Node} content
 * @returns {Row}
 */
function row(words, key, ...content) {
  const label = h("dt", {}, say(words, key));
  const value = h("dd", {}, ...content);
  return { element: h("div", {}, label, value), label, value };
}

/**
 * Set a row's text. A row without a value is hidden.
 * @param {Row} row
 * @param {string | null} text
 * @param {HTMLElement} [into]
 */
function fill(row, text, into = row.value) {
  row.element.hidden = !text;
  write(into, text ?? "");
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
