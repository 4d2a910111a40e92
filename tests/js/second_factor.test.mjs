// What counts as six digits.
import assert from "node:assert/strict";
import { test } from "node:test";

import { sixDigits } from "../../supabase_nb/notebook/_displays/static/second_factor.mjs";

test("six digits, however an app or a person groups them", () => {
  for (const text of ["123456", "123 456", " 123456\n", "123-456", "1 2 3 4 5 6", "12\u00a034\u00a056"]) {
    assert.equal(sixDigits(text), "123456", text);
  }
});

test("fewer or more are not sent", () => {
  for (const text of ["", " ", "12345", "1234567", "abcdef", "１２３４５６"]) {
    assert.equal(sixDigits(text), null, text);
  }
});
