// A backend that answers after a while.
//
//     node backend.js PORT        (CERTIFICATE, KEY: over TLS)
'use strict';
const fs = require('fs');

const { CERTIFICATE, KEY } = process.env;
const identity = CERTIFICATE
  ? { cert: fs.readFileSync(CERTIFICATE), key: fs.readFileSync(KEY) } : {};

const { createServer } = require(CERTIFICATE ? 'https' : 'http');
const server = createServer(identity, (request, response) => {
  request.resume();
  request.on('end', () => setTimeout(() => response.end('ok'), Math.random() * 5));
});
// A client may be slower than the machine.
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
