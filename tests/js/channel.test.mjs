// The channel to the kernel: what is known, until when, and requests.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { openChannel, requestSender } from "../../supabase_nb/notebook/_displays/static/channel.mjs";

/** A model as a front end has it. */
class Model {
  handlers = {};
  sent = [];
  on(name, handler) {
    (this.handlers[name] ??= new Set()).add(handler);
  }
  off(name, handler) {
    this.handlers[name]?.delete(handler);
  }
  send(message) {
    this.sent.push(message);
  }
  fire(name, ...values) {
    for (const handler of this.handlers[name] ?? []) handler(...values);
  }
}

const VIEW = { status: "active", time_left: 60, lifetime: 60, refresh_in: 48, events: [], notices: [] };

let model, channel, told;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  model = new Model();
  channel = openChannel(model);
  told = [];
  channel.views.add((news) => told.push(news?.type ?? channel.shown.life));
});

const view = (fields = {}) => model.fire("msg:custom", { type: "view", view: { ...VIEW, ...fields } });

test("nothing is known before the kernel says something", () => {
  assert.deepEqual(channel.shown, { view: null, at: 0, ends: null, due: null, life: "waiting" });
  channel.requestView();
  assert.deepEqual(model.sent, [{ type: "hello" }]);
  view();
  assert.equal(channel.shown.life, "live");
  assert.equal(channel.shown.at, 1_000_000);
  assert.deepEqual(told, ["view"]);
});

test("between events nothing is sent", () => {
  view();
  for (let second = 0; second < 57; second++) {
    mock.timers.tick(1000);
    channel.check(Date.now());
  }
  assert.deepEqual(model.sent, []);
  assert.equal(channel.shown.life, "live");
});

test("when something was due and no message came, the kernel is asked once, then given up", () => {
  view();
  mock.timers.tick(58_000);
  channel.check(Date.now());
  channel.check(Date.now());
  assert.deepEqual(model.sent, [{ type: "hello" }]);
  mock.timers.tick(9_999);
  assert.equal(channel.shown.life, "live");
  mock.timers.tick(1);
  assert.equal(channel.shown.life, "silent");
  // It was only busy.
  view();
  assert.equal(channel.shown.life, "live");
});

test("an answer in time keeps it live", () => {
  view();
  mock.timers.tick(58_000);
  channel.check(Date.now());
  view();
  mock.timers.tick(20_000);
  assert.equal(channel.shown.life, "live");
});

test("without refreshes the expiry is what is waited for; what is over is waited for no longer", () => {
  view({ refresh_in: null });
  mock.timers.tick(69_000);
  channel.check(Date.now());
  assert.deepEqual(model.sent, []);
  mock.timers.tick(1_000);
  channel.check(Date.now());
  assert.equal(model.sent.length, 1);
  // What the kernel knows to be over is not asked for again.
  view({ time_left: -5, refresh_in: -17 });
  mock.timers.tick(600_000);
  channel.check(Date.now());
  view({ status: "expired", time_left: null, refresh_in: null });
  mock.timers.tick(600_000);
  channel.check(Date.now());
  assert.equal(model.sent.length, 1);
});

test("a kernel that restarts is gone, a display whose client is gone is closed", () => {
  view();
  model.fire("comm_live_update");
  assert.equal(channel.shown.life, "gone");
  model.fire("comm_live_update");
  assert.deepEqual(told, ["view", "gone"], "told once");
  view();
  model.fire("msg:custom", { type: "closed" });
  assert.equal(channel.shown.life, "closed");
  model.fire("comm_live_update");
  assert.equal(channel.shown.life, "closed");
});

test("a closed client is shown as it was, and stays closed", () => {
  view({ status: "closed" });
  assert.equal(channel.shown.life, "closed");
  assert.equal(channel.shown.view.status, "closed");
  mock.timers.tick(600_000);
  channel.check(Date.now());
  model.fire("comm_live_update");
  assert.equal(channel.shown.life, "closed");
  assert.deepEqual(model.sent, []);
});

test("a kernel that is shut down is gone, where the front end lets us see it", () => {
  let changed = () => {};
  const session = {
    session: { kernel: {} },
    kernelChanged: { connect: (handler) => (changed = handler), disconnect: () => (changed = () => {}) },
  };
  model = Object.assign(new Model(), { widget_manager: { context: { sessionContext: session } } });
  channel = openChannel(model);
  view();
  changed();
  assert.equal(channel.shown.life, "live");
  session.session = null;
  changed();
  assert.equal(channel.shown.life, "gone");
});

test("what is due is known as a moment", () => {
  view({ expires_at: 7, refresh_at: 5 });
  assert.equal(channel.shown.ends, 1_060_000);
  assert.equal(channel.shown.due, 1_048_000);
  view({ time_left: null, refresh_in: null });
  assert.deepEqual([channel.shown.ends, channel.shown.due], [null, null]);
});

test("the form is opened in the view that was drawn last, or is drawn soon", () => {
  const heard = [];
  channel.views.add((news) => heard.push(news.type));
  assert.equal(channel.shouldOpen(), false);
  model.fire("msg:custom", { type: "open" });
  assert.deepEqual([told, heard], [[], ["open"]]);
  assert.equal(channel.shouldOpen(), true);
  mock.timers.tick(10_001);
  assert.equal(channel.shouldOpen(), false);
});

test("one request at a time, and a word while the kernel is busy", () => {
  const steps = [];
  const request = requestSender(channel, (step, text) => steps.push([step, text]));
  request.send("refresh");
  const { id } = model.sent[0];
  assert.equal(request.busy(), true);
  mock.timers.tick(2000);
  request.receive({ type: "answer", id: "another", ok: true, text: "" });
  request.receive({ type: "taken", id });
  request.receive({ type: "answer", id, ok: false, text: "No." });
  assert.deepEqual(steps, [
    ["sent", ""],
    ["busy", ""],
    ["taken", ""],
    ["failed", "No."],
  ]);
  assert.equal(request.busy(), false);
  request.send("sign_out", { why: "x" });
  assert.deepEqual(model.sent[1].fields, { why: "x" });
  request.reset();
  mock.timers.tick(5000);
  assert.equal(steps.length, 5);
});

test("each request has an id of its own", () => {
  const ids = new Set(Array.from({ length: 100 }, () => channel.send("refresh")));
  assert.equal(ids.size, 100);
  assert.deepEqual(model.sent[0], { type: "ask", what: "refresh", id: [...ids][0] });
});

test("stop leaves nothing behind", () => {
  channel.stop();
  assert.deepEqual(
    Object.values(model.handlers).map((handlers) => handlers.size),
    [0, 0],
  );
});
