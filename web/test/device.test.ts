import assert from "node:assert/strict";
import { test } from "node:test";
import { deviceName } from "../src/views/account/device";

test("a browser is named by what it calls itself, and anything else is shown as it is", () => {
  assert.equal(deviceName("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"), "Firefox on Linux");
  assert.equal(deviceName("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"), "Edge on Windows");
  assert.equal(deviceName("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605 Version/18.0 Safari/605"), "Safari on macOS");
  assert.equal(deviceName("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"), "Chrome on Android");
  assert.equal(deviceName("robot/1"), "robot/1");
  assert.equal(deviceName(""), "Unknown browser");
});
