// A server in Node that calls a service of its own by gRPC for each request, in the way that the
// path says (/ID/SHAPE), and a backend over HTTP/1; that service calls on, too. Methods are
// ID.Links/WHAT.
//
//     node rpc.js PORT        (BACKEND: the backend's port; NODE_PATH: where @grpc/grpc-js is)
'use strict';
const http = require('http');
const grpc = require('@grpc/grpc-js');

const base = `http://127.0.0.1:${process.env.BACKEND}`;
const agent = new http.Agent({ keepAlive: true });
const bytes = (message) => message;

const get = (path) => new Promise((resolve) => {
  http.get(base + path, { agent }, (response) => response.resume().on('end', resolve));
});

let client;
function callThen(id, what, then) {
  client.makeUnaryRequest(`/${id}.Links/${what}`, bytes, bytes, Buffer.from(id), (error) => {
    if (error) throw error;
    then();
  });
}
const call = (id, what) => new Promise((resolve) => callThen(id, what, resolve));

// What the service does.
const methods = {
  Leaf: async () => {},
  Ask: (id) => get(`/${id}/inner`),
  Deeper: (id) => call(id, 'Leaf'),
};

const shapes = {
  direct: async (id) => {
    await call(id, 'Ask');
    await get(`/${id}/outer`);
  },
  fan_out: (id) => Promise.all([call(id, 'Ask'), call(id, 'Leaf'), call(id, 'Deeper')]),
  callbacks: (id) => new Promise((resolve) => {
    callThen(id, 'Leaf', () => callThen(id, 'Ask', resolve));
  }),
};

// It has methods by the thousand: one for each id.
const service = new grpc.Server();
service.handlers.get = (path) => ({
  type: 'unary',
  path,
  serialize: bytes,
  deserialize: bytes,
  func: (asked, answer) => {
    const [, id, , what] = path.split(/[/.]/);
    methods[what](id).then(() => answer(null, asked.request));
  },
});

service.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const server = http.createServer(async (request, response) => {
    const [, id, shape] = request.url.split('/');
    await shapes[shape](id);
    response.end(id);
  });
  // A client may be slower than the machine.
  server.keepAliveTimeout = 60_000;
  server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
});
