// Node's fetch, which is undici: each line of standard input is a request, METHOD URL BODY_BYTES;
// each answer becomes a line of JSON.
import readline from 'node:readline';

console.log('ready');
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [method, url, size] = line.split(' ');
  const body = Number(size) ? 'y'.repeat(Number(size)) : undefined;
  const answer = await fetch(url, { method, body });
  const received = (await answer.arrayBuffer()).byteLength;
  const { pathname, search } = new URL(url);
  console.log(JSON.stringify({
    method,
    target: pathname + search,
    status: answer.status,
    request_body: Number(size),
    response_body: received,
  }));
}
