// Which pastes hold more than one token.
import assert from "node:assert/strict";
import { test } from "node:test";

import { containsSeveralTokens } from "../../supabase_nb/notebook/_displays/static/form.mjs";

test("a single token may enter the field", () => {
  for (const text of ["", "eyJabc.def.ghi", "  eyJabc.def.ghi\n", '"rtrtrtrtrtrt"', "a-b_c"]) {
    assert.equal(containsSeveralTokens(text), false, text);
  }
});

test("two tokens, JSON and addresses go to the kernel at once", () => {
  for (const text of [
    "eyJabc.def.ghi rtrt",
    "eyJabc.def.ghi\r\nrtrt",
    '{"access_token": "a"}',
    ' ["a","b"]',
    "https://app.example.com/#access_token=a&refresh_token=b",
    "#access_token=a&refresh_token=b",
    "refresh_token:abc",
    "base64-eyJhY2Nlc3M",
    "my-session=base64-eyJhY2Nlc3M",
    "sb-abcd-auth-token.1=dXNlciI6",
    "sb-abcd-auth-token:eyJ",
    "%7B%22access_token%22%3A",
    '"{\\"access_token\\":\\"a\\"}"',
    "('a','b')",
    "'{access_token:1}'",
  ]) {
    assert.equal(containsSeveralTokens(text), true, text);
  }
});
