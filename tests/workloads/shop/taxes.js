// The shop's taxes, in Node: asks for the costs of shipping.
//
//     taxes.js PORT SHIPPING     (ports of loopback)
"use strict";

const http = require("http");

const [port, shipping] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 40 });

function ask(path) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: shipping, path, agent };
    const request = http.get(options, (response) => {
      response.on("end", () => resolve(response.statusCode));
      response.resume();
    });
    request.on("error", reject);
  });
}

const server = http.createServer(async (request, response) => {
  const [, id] = request.url.split("/");
  response.statusCode = await ask(`/${id}/shipping`).catch(() => 502);
  response.end("taxed\n");
});
server.listen(port, "127.0.0.1", () => console.log("listening"));
