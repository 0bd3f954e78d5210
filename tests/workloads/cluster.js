// Node's cluster: workers that are there before anybody listens, to which the primary hands
// connections or its listening socket.
//
//     node cluster.js PORT WORKERS [shared]
'use strict';
const cluster = require('cluster');

const [port, workers, shared] = process.argv.slice(2);
if (cluster.isPrimary) {
  cluster.schedulingPolicy = shared ? cluster.SCHED_NONE : cluster.SCHED_RR;
  let ready = 0;
  for (let n = 0; n < Number(workers); n++) cluster.fork();
  cluster.on('listening', () => {
    ready += 1;
    if (ready === Number(workers)) console.log('listening');
  });
} else {
  require('http').createServer((request, response) => {
    response.setHeader('Content-Length', 5);
    response.end('hello', () => {
      console.log(JSON.stringify({
        method: request.method,
        target: request.url,
        status: 200,
        request_body: 0,
        response_body: 5,
      }));
    });
  }).listen(Number(port), '127.0.0.1');
}
