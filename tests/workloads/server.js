// A server that tells the truth: each request it answered, as a line of JSON.
//
//     node server.js PORT
//
// Query parameters choose the answer: status, size, chunked, delay (milliseconds).
'use strict';
const http = require('http');

const server = http.createServer((request, response) => {
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
      if (sent && query.has('chunked')) response.write(Buffer.alloc(Math.ceil(sent / 2), 'x'));
      const rest = sent && query.has('chunked') ? Math.floor(sent / 2) : sent;
      response.end(Buffer.alloc(rest, 'x'), () => {
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
