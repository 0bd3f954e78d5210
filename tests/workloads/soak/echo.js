// A server of checksums, as echo.py, in Node.
//
//     node echo.js PORT
'use strict';
const fs = require('fs');
const crypto = require('crypto');

const { CERTIFICATE, KEY } = process.env;
const secrets = CERTIFICATE && { cert: fs.readFileSync(CERTIFICATE), key: fs.readFileSync(KEY) };
const { createServer } = require(secrets ? 'https' : 'http');
const sum = (body) => crypto.createHash('sha256').update(body).digest('hex');

const server = createServer(secrets || {}, (request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    let body = Buffer.concat(pieces);
    const whole = request.method === 'GET' || sum(body) === request.headers['x-sum'];
    if (request.method === 'GET') body = Buffer.alloc(Number(request.url.split('/').pop()), 'node');
    response.writeHead(whole ? 200 : 400, { 'Content-Length': body.length, 'X-Sum': sum(body) });
    response.end(body);
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
