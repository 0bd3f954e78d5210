// Serves a request that makes two calls, to itself, and says what is left of the script afterwards.
'use strict';
const channels = require('diagnostics_channel');
const fs = require('fs');
const http = require('http');

const get = (url) => new Promise((resolve, reject) => {
  http.get(url, (response) => response.resume().on('end', resolve)).on('error', reject);
});

const before = channels.hasSubscribers('net.server.socket');
const server = http.createServer(async (request, response) => {
  if (request.url === '/outer') {
    await get(`http://127.0.0.1:${server.address().port}/1`);
    await (await fetch(`http://127.0.0.1:${server.address().port}/2`)).text();
  }
  response.end(request.url);
});
server.listen(0, '127.0.0.1', async () => {
  const response = await fetch(`http://127.0.0.1:${server.address().port}/outer`);
  const answer = await response.text();
  const names = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  console.log(JSON.stringify({
    answer,
    before,
    after: channels.hasSubscribers('http.server.request.start'),
    open: names.some((name) => name.includes('comm')),
    name: fs.readFileSync('/proc/self/comm', 'latin1'),
    heard: process.listenerCount('uncaughtException') + process.listenerCount('exit'),
  }));
  // Whatever still runs would keep it from ending.
  server.close();
  server.closeAllConnections();
});
