// An HTTP/2 server on Node's http2 that tells the truth: `server.js PORT [CERTIFICATE KEY]`; each
// request that it answered, as a line of JSON.
//
// Query parameters choose the answer: status, size, delay (milliseconds), hints (an informational
// response first), push (something nobody asked for), reset (the stream, instead of an answer),
// goaway (after the answer, the connection takes no more).
'use strict';
const fs = require('fs');
const http2 = require('http2');

function answer(stream, headers) {
  const target = headers[':path'];
  const query = new URL(target, 'http://h').searchParams;
  const number = (name, otherwise) => Number(query.get(name) ?? otherwise);
  let received = 0;
  stream.on('error', () => {});
  stream.on('data', (piece) => { received += piece.length; });
  stream.on('end', () => setTimeout(() => {
    const method = headers[':method'];
    const reset = query.has('reset');
    const status = number('status', 200);
    const bodiless = method === 'HEAD' || status === 204 || status === 304;
    const size = bodiless ? 0 : number('size', 5);
    console.log(JSON.stringify({
      method,
      target,
      status: reset ? null : status,
      request_body: received,
      response_body: reset ? 0 : size,
    }));
    if (query.has('hints')) stream.additionalHeaders({ ':status': 103, link: '</style.css>' });
    if (query.has('push') && stream.pushAllowed) {
      stream.pushStream({ ':path': '/pushed' }, (error, pushed) => {
        if (error) throw error;
        pushed.on('error', () => {});
        pushed.respond({ ':status': 200 });
        pushed.end('pushed');
      });
    }
    if (reset) {
      stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    const connection = stream.session;
    stream.respond({ ':status': status, 'x-length': String(size) }, { endStream: size === 0 });
    if (size > 0) stream.end(Buffer.alloc(size, 'x'));
    if (query.has('goaway')) connection.goaway(http2.constants.NGHTTP2_NO_ERROR);
  }, number('delay', 0)));
}

const [port, certificate, key] = process.argv.slice(2);
const server = certificate
  ? http2.createSecureServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) })
  : http2.createServer();
server.on('stream', answer);
server.on('sessionError', () => {});
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
process.on('SIGTERM', () => process.exit(0));
