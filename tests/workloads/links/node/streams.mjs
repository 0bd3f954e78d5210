// A server in Node that asks one of its own over HTTP/2 for each request, in the way that the path
// says (/ID/SHAPE), and a backend over HTTP/1; that other one asks the backend, too. What is asked
// has the same id.
//
//     node streams.mjs PORT        (BACKEND: the backend's port; FRONT=http2: it is asked over that)
import http from 'node:http';
import http2 from 'node:http2';

const base = `http://127.0.0.1:${process.env.BACKEND}`;
const agent = new http.Agent({ keepAlive: true });

const getThen = (path, then) => {
  http.get(base + path, { agent }, (response) => response.resume().on('end', then));
};
const get = (path) => new Promise((resolve) => getThen(path, resolve));

// Goes on by events alone.
const inner = http2.createServer((asked, response) => {
  asked.on('data', () => {});
  asked.on('end', () => getThen(`${asked.url}/inner`, () => response.end()));
});
inner.listen(0, '127.0.0.1', () => {
  const session = http2.connect(`http://127.0.0.1:${inner.address().port}`);
  const askThen = (path, then, body) => {
    const headers = body ? { ':path': path, ':method': 'POST' } : { ':path': path };
    const stream = session.request(headers);
    stream.resume().on('end', then);
    if (body) setTimeout(() => stream.end(body), Math.random() * 5);
  };
  const ask = (path, body) => new Promise((resolve) => askThen(path, resolve, body));
  const shapes = {
    direct: async (id) => {
      await ask(`/${id}/1`);
      await get(`/${id}/2`);
    },
    fan_out: (id) => Promise.all([ask(`/${id}/1`), ask(`/${id}/2`), ask(`/${id}/3`)]),
    callbacks: (id) => new Promise((resolve) => {
      askThen(`/${id}/1`, () => getThen(`/${id}/2`, () => askThen(`/${id}/3`, resolve)));
    }),
    posted: (id) => ask(`/${id}/1`, 'a body'),
  };
  const serve = async (asked, response) => {
    const [, id, shape] = asked.url.split('/');
    await shapes[shape](id);
    response.end(id);
  };
  const server = process.env.FRONT === 'http2' ? http2.createServer(serve)
    : http.createServer(serve);
  // A client may be slower than the machine.
  server.keepAliveTimeout = 60_000;
  server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
});
