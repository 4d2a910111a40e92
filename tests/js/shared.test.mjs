// Time and words, as every widget shows them.
import assert from "node:assert/strict";
import { mock, test } from "node:test";

import {
  formatDuration,
  formatTime,
  lightness,
  onTick,
  stableMoment,
  tickAll,
  translate,
} from "../../supabase_nb/notebook/_displays/static/shared.mjs";
import { clamp, shorten } from "../../supabase_nb/notebook/_displays/static/parts.mjs";

const WORDS = {
  "token.days_hours": "{days} d {hours} h",
  "token.days": "{days} d",
  "token.far": "999+ d",
  hello: "Hello {who}, {who}!",
};

test("a span as a clock shows it", () => {
  const shown = (seconds) => formatDuration(seconds, WORDS);
  assert.equal(shown(-5), "0:00");
  assert.equal(shown(0), "0:00");
  assert.equal(shown(0.2), "0:01", "not over before it is over");
  assert.equal(shown(59), "0:59");
  assert.equal(shown(60), "1:00");
  assert.equal(shown(3599), "59:59");
  assert.equal(shown(3600), "1:00:00");
  assert.equal(shown(47 * 3600 + 62), "47:01:02");
  assert.equal(shown(49 * 3600), "2 d 1 h");
  assert.equal(shown(30 * 86400), "30 d");
  assert.equal(shown(1e15), "999+ d");
});

test("a moment has a day when it is not today", () => {
  const now = new Date(2026, 1, 11, 14, 5, 9).getTime();
  assert.match(formatTime(now, { now }), /^0?2:05|^14:05/);
  assert.match(formatTime(now, { now, seconds: true }), /05:09/);
  assert.match(formatTime(now - 86_400_000, { now }), /10.*, /);
  assert.match(formatTime(now - 400 * 86_400_000, { now }), /2025/);
  assert.equal(formatTime(1e300, { now }), "", "a huge expiry is no date");
});

test("words", () => {
  assert.equal(translate(WORDS, "hello", { who: "Ada" }), "Hello Ada, Ada!");
  assert.equal(translate(WORDS, "hello"), "Hello , !");
  assert.equal(translate(WORDS, "no such key"), "no such key");
});

test("how light a color is", () => {
  assert.ok((lightness("rgb(255, 255, 255)") ?? 0) > 0.99);
  assert.equal(lightness("rgb(0, 0, 0)"), 0);
  assert.ok((lightness("rgb(33, 33, 33)") ?? 1) < 0.5);
  assert.equal(lightness("rgba(0, 0, 0, 0)"), null, "one looks through it");
  assert.equal(lightness("transparent"), null);
});

test("small things", () => {
  assert.equal(clamp(1.2), 1);
  assert.equal(clamp(-1), 0);
  assert.equal(shorten("4f6a52c1-93c4-4c5f"), "4f6a52c1…");
  assert.equal(shorten("short"), "short");
});

test("displays that are told of one moment at slightly different times agree on it", () => {
  const soon = Date.now() + 60_000;
  assert.equal(stableMoment("token 1", soon), soon);
  assert.equal(stableMoment("token 1", soon + 130), soon);
  assert.equal(stableMoment("token 2", soon + 130), soon + 130);
  // The clock was set, or the server's became better known.
  assert.equal(stableMoment("token 1", soon + 5000), soon + 5000);
});

test("one tick for the whole page", () => {
  mock.timers.enable({ apis: ["setInterval", "Date"], now: 0 });
  const seen = [[], []];
  const stops = [onTick((now) => seen[0].push(now))];
  mock.timers.tick(1000);
  mock.timers.tick(500);
  stops.push(onTick((now) => seen[1].push(now)));
  mock.timers.tick(500);
  tickAll();
  assert.deepEqual(seen, [
    [1000, 2000, 2000],
    [2000, 2000],
  ]);
  stops.forEach((stop) => stop());
  mock.timers.tick(5000);
  assert.equal(seen[0].length, 3, "nobody listens: no timer");
  mock.timers.reset();
});
