// A server in Node that calls a backend for each request, in the way that the path says:
// /ID/SHAPE. Made into one file, with an undici of its own beside Node's.
//
//     node app.mjs PORT        (BACKEND: the backend's port)
import http from 'node:http';
import { fetch as ownFetch, Pool, request } from 'undici';

const base = `http://127.0.0.1:${process.env.BACKEND}`;
const pool = new Pool(base, { connections: 5 });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const calls = {
  fetched: async (path) => (await fetch(base + path)).text(),
  fetched_by_own: async (path) => (await ownFetch(base + path)).text(),
  pooled: async (path) => (await pool.request({ path, method: 'GET' })).body.text(),
  requested: async (path) => (await request(base + path)).body.text(),
};

const server = http.createServer(async (asked, response) => {
  const [, id, shape] = asked.url.split('/');
  await calls[shape](`/${id}/1`);
  await sleep(Math.random() * 5);
  await calls[shape](`/${id}/2`);
  response.end(id);
});
// A client may be slower than the machine.
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
