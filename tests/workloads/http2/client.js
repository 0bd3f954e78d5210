// An HTTP/2 client on Node's http2 that tells the truth: `client.js ORIGIN [CERTIFICATE]`; each
// line of standard input is requests that are sent at once, METHOD TARGET BODY_BYTES with a comma
// between them; each that ended becomes a line of JSON. All of them share one connection; a new one
// is made when the server takes no more on it. The certificate is that of the authority.
'use strict';
const fs = require('fs');
const http2 = require('http2');
const readline = require('readline');

const [origin, authority] = process.argv.slice(2);
const options = authority ? { ca: fs.readFileSync(authority) } : {};
let connection;

function connected() {
  if (!connection || connection.closed || connection.destroyed) {
    connection = http2.connect(origin, options);
    connection.on('error', () => {});
    connection.on('stream', (pushed) => { pushed.on('error', () => {}); pushed.resume(); });
    connection.on('goaway', () => { connection = undefined; });
  }
  return connection;
}

function send(method, target, size) {
  return new Promise((resolve) => {
    const body = size ? { 'content-length': String(size) } : {};
    const headers = { ':method': method, ':path': target, ...body };
    const stream = connected().request(headers, { endStream: size === 0 });
    let status = null;
    let received = 0;
    stream.on('response', (answer) => { status = answer[':status']; });
    stream.on('data', (piece) => { received += piece.length; });
    stream.on('error', () => {});
    stream.on('close', () => {
      console.log(JSON.stringify({
        method, target, status, request_body: size, response_body: received,
      }));
      resolve();
    });
    if (size) stream.end(Buffer.alloc(size, 'y'));
  });
}

console.log('ready');
(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await Promise.all(line.split(',').map((request) => {
      const [method, target, size] = request.split(' ');
      return send(method, target, Number(size));
    }));
  }
  connection?.close();
  console.log('done');
})();
