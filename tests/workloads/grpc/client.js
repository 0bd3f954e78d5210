// A gRPC client on @grpc/grpc-js that tells the truth: `client.js PORT [AUTHORITY_CERTIFICATE]`,
// see shapes.proto. All calls share one channel, and so one connection.
'use strict';
const fs = require('fs');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');

const bytes = (message) => message;
const OWN = ['send', 'size', 'deadline', 'cancel', 'meta', 'repeat', 'parallel', 'method'];

const [port, authority] = process.argv.slice(2);
const client = authority
  ? new grpc.Client(`localhost:${port}`, grpc.credentials.createSsl(fs.readFileSync(authority)))
  : new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());

function one(shape, words) {
  return new Promise((resolve) => {
    const rpc = words.method ?? `wirespan.test.Shapes/${shape}`;
    const number = (key, otherwise) => Number(words[key] ?? otherwise);
    const plan = Object.entries(words).filter(([key]) => !OWN.includes(key))
      .map(([key, value]) => `${key}=${value} `).join('');
    const message = Buffer.from(words.method ? '' : plan.padEnd(number('size', 10), '.'));
    const many = shape === 'ClientStream' || shape === 'Bidi';
    const send = many ? number('send', 1) : 1;
    const metadata = new grpc.Metadata();
    if (words.meta) metadata.set('x-meta', 'm'.repeat(number('meta', 0)));
    const options = { deadline: Date.now() + number('deadline', 20000) };
    let responses = 0;
    const tell = (code) => {
      console.log(JSON.stringify({ rpc, status: grpc.status[code], requests: send, responses }));
      resolve();
    };
    const answered = (error, reply) => {
      if (reply) responses = 1;
      tell(error ? error.code : 0);
    };
    const rest = [metadata, options];
    let call;
    if (shape === 'Unary') {
      client.makeUnaryRequest(`/${rpc}`, bytes, bytes, message, ...rest, answered);
      return;
    }
    if (shape === 'ClientStream') {
      call = client.makeClientStreamRequest(`/${rpc}`, bytes, bytes, ...rest, answered);
    } else {
      call = shape === 'Bidi'
        ? client.makeBidiStreamRequest(`/${rpc}`, bytes, bytes, ...rest)
        : client.makeServerStreamRequest(`/${rpc}`, bytes, bytes, message, ...rest);
      call.on('data', () => {
        responses += 1;
        if (responses === number('cancel', -1)) call.cancel();
      });
      call.on('error', () => {});
      call.on('status', (status) => tell(status.code));
    }
    if (many) {
      for (let n = 0; n < send; n += 1) call.write(message);
      call.end();
    }
  });
}

console.log('ready');
(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [shape, ...rest] = line.trim().split(' ');
    const words = Object.fromEntries(rest.map((word) => word.split('=')));
    for (let n = 0; n < Number(words.repeat ?? 1); n += 1) {
      const parallel = Array.from({ length: Number(words.parallel ?? 1) });
      await Promise.all(parallel.map(() => one(shape, words)));
    }
  }
  client.close();
  console.log('done');
})();
