// What takes a while, side by side: a session sleeps only after a minute without use, and meanwhile other
// hosts stand still, stream megabytes and wait for a provider's next try.
import { describe } from "node:test";
import { tests as answers } from "./sessions_answers.mjs";
import { tests as long } from "./sessions_long.mjs";
import { tests as sleeping } from "./sessions_sleep.mjs";
import { tests as stalls } from "./sessions_stalls.mjs";

describe("what takes a while", { concurrency: true }, () => {
  sleeping();
  describe("meanwhile", { concurrency: 1 }, () => {
    stalls();
    long();
    answers();
  });
});
