// Node's https module over a socket that is itself one of Node's tls module: through the tunnel of
// the HTTPS proxy that PROXY names. Each line of standard input is a request, METHOD URL BODY_BYTES;
// each answer becomes a line of JSON. All go through one tunnel.
import https from 'node:https';
import readline from 'node:readline';
import tls from 'node:tls';

const proxy = new URL(process.env.PROXY);

function tunnel(host) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const outer = tls.connect({ host: proxy.hostname, port: proxy.port, servername: proxy.hostname });
  outer.once('error', reject);
  outer.once('secureConnect', () => outer.write(`CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
  outer.once('data', (head) => {
    if (!/^HTTP\/1.. 200/.test(head)) reject(new Error(String(head)));
    resolve(tls.connect({ socket: outer, servername: proxy.hostname }));
  });
  return promise;
}

let socket;

async function send(method, url, size) {
  const { host, pathname, search } = new URL(url);
  socket ??= await tunnel(host);
  const { promise, resolve, reject } = Promise.withResolvers();
  const options = { method, createConnection: () => socket, headers: { Connection: 'keep-alive' } };
  const request = https.request(url, options, (response) => {
    let received = 0;
    response.on('data', (piece) => { received += piece.length; });
    response.on('end', () => {
      console.log(JSON.stringify({
        method,
        target: pathname + search,
        status: response.statusCode,
        request_body: size,
        response_body: received,
      }));
      resolve();
    });
  });
  request.on('error', reject);
  request.end(size ? Buffer.alloc(size, 'y') : undefined);
  return promise;
}

console.log('ready');
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [method, url, size] = line.split(' ');
  await send(method, url, Number(size));
}
process.exit();
