// Loaded into Azurite: writes a line for each call, and thinks BENCH_DELAY milliseconds before it begins with one.
const fs = require("fs");
const http = require("http");
const delay = Number(process.env.BENCH_DELAY || 0);
const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (name, ...rest) {
  if (name !== "request") return emit.call(this, name, ...rest);
  fs.writeSync(2, `call ${rest[0].method}\n`);
  if (delay) setTimeout(() => emit.call(this, name, ...rest), delay);
  else emit.call(this, name, ...rest);
  return true;
};
