// A server in Node that asks one of its own over HTTP/2 for each request, and then a backend; that
// other one asks the backend, too. Of streams the script says nothing.
//
//     node streams.mjs PORT        (BACKEND: the backend's port)
import http from 'node:http';
import http2 from 'node:http2';

const base = `http://127.0.0.1:${process.env.BACKEND}`;
const agent = new http.Agent({ keepAlive: true });

const get = (path) => new Promise((resolve, reject) => {
  const asked = http.get(base + path, { agent }, (response) => response.resume().on('end', resolve));
  asked.on('error', reject);
});

const inner = http2.createServer(async (asked, response) => {
  await get(`${asked.url}/inner`);
  response.end();
});
inner.listen(0, '127.0.0.1', () => {
  const session = http2.connect(`http://127.0.0.1:${inner.address().port}`);
  const ask = (path) => new Promise((resolve, reject) => {
    session.request({ ':path': path }).resume().on('end', resolve).on('error', reject);
  });
  const server = http.createServer(async (asked, response) => {
    const [, id] = asked.url.split('/');
    await ask(`/${id}/stream`);
    await get(`/${id}/outer`);
    response.end(id);
  });
  // A client may be slower than the machine.
  server.keepAliveTimeout = 60_000;
  server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
});
