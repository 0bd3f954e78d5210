// A client that tells the truth: each line of standard input is a request, METHOD URL BODY_BYTES;
// each answer becomes a line of JSON. One after the other over a keep-alive agent; over TLS if the
// first URL says so.
'use strict';
const readline = require('readline');

let http;
let agent;

function send(method, url, size) {
  if (!http) {
    http = require(url.startsWith('https:') ? 'https' : 'http');
    agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  }
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, agent }, (response) => {
      let received = 0;
      response.on('data', (piece) => { received += piece.length; });
      response.on('end', () => {
        const { pathname, search } = new URL(url);
        console.log(JSON.stringify({
          method,
          target: pathname + search,
          status: response.statusCode,
          request_body: size,
          response_body: received,
        }));
        resolve();
      });
    });
    request.on('error', reject);
    request.end(size ? Buffer.alloc(size, 'y') : undefined);
  });
}

console.log('ready');
(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [method, url, size] = line.split(' ');
    await send(method, url, Number(size));
  }
  if (agent) agent.destroy();
  console.log('done');
})();
