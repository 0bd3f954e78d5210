// A backend that answers after a while.
//
//     node backend.js PORT
'use strict';
require('http').createServer((request, response) => {
  request.resume();
  request.on('end', () => setTimeout(() => response.end('ok'), Math.random() * 5));
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
