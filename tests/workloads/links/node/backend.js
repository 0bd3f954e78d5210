// A backend that answers after a while.
//
//     node backend.js PORT        (CERTIFICATE, KEY: over TLS)
'use strict';
const fs = require('fs');

const { CERTIFICATE, KEY } = process.env;
const identity = CERTIFICATE
  ? { cert: fs.readFileSync(CERTIFICATE), key: fs.readFileSync(KEY) } : {};

require(CERTIFICATE ? 'https' : 'http').createServer(identity, (request, response) => {
  request.resume();
  request.on('end', () => setTimeout(() => response.end('ok'), Math.random() * 5));
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
