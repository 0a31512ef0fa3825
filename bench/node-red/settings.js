// Nothing but the flow: no editor, no log of requests.
module.exports = {
  uiHost: "127.0.0.1",
  uiPort: Number(process.env.PORT),
  flowFile: __dirname + "/flows.json",
  httpAdminRoot: false,
  logging: { console: { level: "error", metrics: false, audit: false } },
};
