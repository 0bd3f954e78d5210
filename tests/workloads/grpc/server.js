// A gRPC server on @grpc/grpc-js that tells the truth: `server.js PORT [CERTIFICATE KEY]`, see
// shapes.proto. A call whose client went away is told as CANCELLED.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const bytes = (message) => message;

function words(message) {
  const pairs = message.toString().split(' ').filter((word) => word.includes('='));
  return Object.fromEntries(pairs.map((pair) => {
    const [key, value] = pair.split('=');
    return [key, Number(value)];
  }));
}

class Call {
  constructor(rpc, call) {
    this.rpc = rpc;
    this.call = call;
    this.requests = 0;
    this.responses = 0;
    this.plan = {};
  }

  read(message) {
    if (this.requests === 0) this.plan = words(message);
    this.requests += 1;
  }

  reply() {
    this.responses += 1;
    return Buffer.alloc(this.plan.reply ?? 10, 'x');
  }

  // Waits as long as asked, or until the client went; tells; hands on the error, or null.
  end(then) {
    let ended = false;
    const once = (code) => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      // A message that comes with the end was not yet sent.
      const sole = /\/(Unary|ClientStream)$/.test(this.rpc);
      console.log(JSON.stringify({
        rpc: this.rpc,
        status: grpc.status[code],
        requests: this.requests,
        responses: sole ? Number(code === 0) : this.responses,
      }));
      then(code ? { code, details: 'as told' } : null);
    };
    const timer = setTimeout(() => once(this.plan.code ?? 0), this.plan.delay ?? 0);
    this.call.on('cancelled', () => once(grpc.status.CANCELLED));
    if (this.call.cancelled) once(grpc.status.CANCELLED);
  }
}

const rpc = (shape) => `wirespan.test.Shapes/${shape}`;

const handlers = {
  Unary: ['unary', (call, answer) => {
    const told = new Call(rpc('Unary'), call);
    told.read(call.request);
    told.end((error) => (error ? answer(error) : answer(null, told.reply())));
  }],
  ServerStream: ['serverStream', (call) => {
    const told = new Call(rpc('ServerStream'), call);
    told.read(call.request);
    let left = told.plan.count ?? 1;
    const more = () => {
      while (left > 0) {
        left -= 1;
        if (!call.write(told.reply())) { call.once('drain', more); return; }
      }
      told.end((error) => (error ? call.emit('error', error) : call.end()));
    };
    more();
  }],
  ClientStream: ['clientStream', (call, answer) => {
    const told = new Call(rpc('ClientStream'), call);
    call.on('data', (message) => told.read(message));
    call.on('end', () => told.end((error) => (error ? answer(error) : answer(null, told.reply()))));
  }],
  Bidi: ['bidi', (call) => {
    const told = new Call(rpc('Bidi'), call);
    call.on('data', (message) => { told.read(message); call.write(told.reply()); });
    call.on('end', () => told.end((error) => (error ? call.emit('error', error) : call.end())));
  }],
};

const server = new grpc.Server();
for (const [shape, [type, handler]] of Object.entries(handlers)) {
  server.register(`/${rpc(shape)}`, handler, bytes, bytes, type);
}
server.register('/grpc.health.v1.Health/Check', (call, answer) => {
  console.log(JSON.stringify({
    rpc: 'grpc.health.v1.Health/Check', status: 'OK', requests: 1, responses: 1,
  }));
  answer(null, Buffer.from([8, 1]));
}, bytes, bytes, 'unary');

const [port, certificate, key] = process.argv.slice(2);
const credentials = certificate
  ? grpc.ServerCredentials.createSsl(null, [
    { cert_chain: fs.readFileSync(certificate), private_key: fs.readFileSync(key) },
  ])
  : grpc.ServerCredentials.createInsecure();
server.bindAsync(`127.0.0.1:${port}`, credentials, (error) => {
  if (error) throw error;
  console.log('listening');
});
process.on('SIGTERM', () => process.exit(0));
