// A server in Node that calls a backend for each request, in the way that the path says:
// /ID/SHAPE. What it calls has the same id.
//
//     node app.js PORT        (BACKEND: the backend's port; CERTIFICATE, KEY: both over TLS)
'use strict';
const fs = require('fs');

const { CERTIFICATE, KEY } = process.env;
const scheme = CERTIFICATE ? 'https' : 'http';
const http = require(scheme);
const identity = CERTIFICATE
  ? { cert: fs.readFileSync(CERTIFICATE), key: fs.readFileSync(KEY) } : {};

const port = Number(process.argv[2] ?? process.env.PORT);
const backend = Number(process.env.BACKEND);
const base = `${scheme}://127.0.0.1:${backend}`;
const alive = new http.Agent({ keepAlive: true });
const few = new http.Agent({ keepAlive: true, maxSockets: 5 });

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const some = () => sleep(Math.random() * 10);

function getThen(path, agent, then) {
  http.get({ host: '127.0.0.1', port: backend, path, agent }, (response) => {
    response.resume();
    response.on('end', then);
  });
}

const get = (path, agent = alive) => new Promise((resolve) => getThen(path, agent, resolve));

async function fetched(path) {
  const response = await fetch(base + path);
  await response.text();
}

// Many share one, which belongs to nobody.
let worker;
function queue(path) {
  worker ??= (() => {
    const paths = [];
    (async () => {
      for (;;) {
        if (paths.length) await get(paths.shift());
        else await sleep(1);
      }
    })();
    return paths;
  })();
  worker.push(path);
}

const shapes = {
  // As little as there can be, for who measures.
  hello: (id) => get(`/${id}/1`),
  direct: async (id) => {
    await get(`/${id}/1`);
    await some();
    await get(`/${id}/2`);
  },
  callbacks: (id) => new Promise((resolve) => {
    getThen(`/${id}/1`, alive, () => {
      setTimeout(() => getThen(`/${id}/2`, undefined, resolve), Math.random() * 10);
    });
  }),
  fetched: async (id) => {
    await fetched(`/${id}/1`);
    await some();
    await fetched(`/${id}/2`);
  },
  fan_out: (id) => Promise.all([fetched(`/${id}/1`), get(`/${id}/2`), get(`/${id}/3`)]),
  pooled: async (id) => {
    await get(`/${id}/1`, few);
    await new Promise(setImmediate);
    await get(`/${id}/2`, few);
  },
  posted: (id) => new Promise((resolve) => {
    const request = http.request({
      host: '127.0.0.1', port: backend, path: `/${id}/1`, method: 'POST', agent: alive,
    }, (response) => {
      response.resume();
      response.on('end', resolve);
    });
    request.write('a');
    setTimeout(() => request.end('b'), Math.random() * 5);
  }),
  cancelled: async (id) => {
    const controller = new AbortController();
    const call = fetch(`${base}/${id}/1`, { signal: controller.signal });
    setTimeout(() => controller.abort(), 1);
    await call.then((response) => response.text()).catch(() => {});
    await get(`/${id}/2`);
  },
  forgotten: async (id) => {
    await fetched(`/${id}/1`);
    sleep(Math.random() * 20).then(() => fetched(`/${id}/2`));
  },
  lazy: async (id) => queue(`/${id}/1`),
};

const server = http.createServer(identity, async (request, response) => {
  const [, id, shape] = request.url.split('/');
  await shapes[shape](id);
  response.end(id);
});
// A client may be slower than the machine.
server.keepAliveTimeout = 60_000;
server.listen(port, '127.0.0.1', () => console.log('listening'));
