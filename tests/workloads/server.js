// A server that tells the truth: each request it answered, as a line of JSON.
//
//     node server.js PORT
//
// Query parameters choose the answer: status, size, chunked, delay (milliseconds). With CERTIFICATE
// and KEY in the environment, over TLS.
'use strict';
const fs = require('fs');

const { CERTIFICATE, KEY } = process.env;
const secrets = CERTIFICATE && { cert: fs.readFileSync(CERTIFICATE), key: fs.readFileSync(KEY) };
const { createServer } = require(secrets ? 'https' : 'http');

const server = createServer(secrets || {}, (request, response) => {
  let received = 0;
  request.on('data', (piece) => { received += piece.length; });
  request.on('end', () => {
    const query = new URL(request.url, 'http://localhost').searchParams;
    const number = (name, otherwise) => Number(query.get(name) ?? otherwise);
    const status = number('status', 200);
    const size = number('size', 5);
    const bodiless = status === 204 || status === 304;
    setTimeout(() => {
      response.statusCode = status;
      if (!bodiless && !query.has('chunked')) response.setHeader('Content-Length', size);
      const sent = bodiless || request.method === 'HEAD' ? 0 : size;
      // So many pieces in one turn of the event loop become one call with three parts each.
      const pieces = sent ? number('chunked', 1) - 1 : 0;
      const size_of_piece = Math.floor(sent / (pieces + 1));
      for (let n = 0; n < pieces; n++) response.write(Buffer.alloc(size_of_piece, 'x'));
      response.end(Buffer.alloc(sent - pieces * size_of_piece, 'x'), () => {
        console.log(JSON.stringify({
          method: request.method,
          target: request.url,
          status,
          request_body: received,
          response_body: sent,
        }));
      });
    }, number('delay', 0));
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
